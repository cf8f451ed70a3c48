"""Answers 400 where vLLM's own request models break on a value's type.

Some of their validators run before types are checked and raise AttributeError or TypeError, which vLLM answers with 500
(`"structured_outputs": true`, for one). Values that the models refuse properly are left to vLLM's own 400.
"""

from __future__ import annotations

import json
import sys

from pydantic import ValidationError

# Path -> where vLLM defines the request. Looked up among loaded modules only: in vLLM's process they are all there.
_MODELS = {
    "/v1/completions": ("vllm.entrypoints.openai.completion.protocol", "CompletionRequest"),
    "/v1/chat/completions": ("vllm.entrypoints.openai.chat_completion.protocol", "ChatCompletionRequest"),
}


def unreadable(path: str, body: bytes) -> str | None:
    """Why vLLM could not even refuse this body properly; None where it can."""
    module, name = _MODELS[path]
    if module not in sys.modules:
        return None
    try:
        getattr(sys.modules[module], name).model_validate(json.loads(body))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError):
        return None  # vLLM answers these itself, with 400
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return None
