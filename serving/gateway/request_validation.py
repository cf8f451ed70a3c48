"""Answers 400 where vLLM 0.32 would answer 500, or keep everybody waiting, over a request that is merely wrong.

What its request models refuse properly is left to vLLM's own 400. The rest was found by fuzzing and by attacks, and each
has a test: values on which a validator that runs before the types are checked breaks, integers beyond 64 bits, on which
its messages to the engine break, content parts other than text, which a text model has no use for, beam searches that
write no token, structured outputs together with forbidden tokens, parameters for engines that work in groups, an empty
model name, which it takes for the base's, texts that are none, and more answers or entries than one request should have.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from pydantic import ValidationError

from serving.gateway.grammar_limits import grammar_fault

# Path -> where vLLM defines the request. Looked up among loaded modules only: in vLLM's process they are all there.
_MODELS = {
    "/v1/completions": ("vllm.entrypoints.openai.completion.protocol", "CompletionRequest"),
    "/v1/chat/completions": ("vllm.entrypoints.openai.chat_completion.protocol", "ChatCompletionRequest"),
}
_LONG_NUMBER = re.compile(rb"\d{19}")
_FOREIGN = ("kv_transfer_params", "ec_transfer_params", "vllm_xargs")
_TOKEN_LISTS = ("prompt", "allowed_token_ids")
_ENTRIES = 4096
"""Of any other list or object of a request: messages, tools, biases, words."""
_ANSWERS = 1024
"""To all prompts of one request; vLLM itself takes 1,024 prompts, and bounds the answers of each."""
_LENGTH_PENALTY = 10
_TEXT_PARTS = ("text", "refusal", "thinking")


def fault_of(path: str, body: bytes) -> str | None:
    """Why vLLM could not even refuse this body properly; None where it can."""
    try:
        request = json.loads(body, parse_int=_bounded) if _LONG_NUMBER.search(body) else json.loads(body)
    except OverflowError as error:
        return str(error)
    except (ValueError, RecursionError):
        return None  # no JSON: vLLM's 400
    if not isinstance(request, dict):
        return None
    return (
        _text_fault(body, request)
        or _size_fault(request)
        or grammar_fault(request)
        or _foreign_fault(request)
        or _message_fault(request.get("messages"))
        or _model_fault(path, request)
    )


def _bounded(digits: str) -> int:
    if not -(2**63) <= int(digits[:25]) < 2**63:
        raise OverflowError(f"the integer {digits[:25]} does not fit into 64 bits")
    return int(digits)


def _text_fault(body: bytes, request: dict[str, Any]) -> str | None:
    """Half a surrogate pair is JSON, but no text: it breaks where a stop word or a name is written as UTF-8."""
    if body.isascii() and b"\\" not in body:
        return None
    try:
        json.dumps(request, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "a text holds half of a surrogate pair"
    except RecursionError:
        return "it is nested too deeply"
    return None


def _size_fault(request: dict[str, Any]) -> str | None:
    long = (name for name, value in request.items() if isinstance(value, list | dict) and len(value) > _ENTRIES)
    if (name := next((name for name in long if name not in _TOKEN_LISTS), None)) is not None:
        return f"{name[:40]} has more than {_ENTRIES:,} entries"
    prompt, answers = request.get("prompt"), request.get("n")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(next(iter(prompt), None), int) else 1
    if isinstance(answers, int) and prompts * answers > _ANSWERS:
        return f"{prompts:,} prompts with {answers:,} answers each are more than {_ANSWERS:,}"
    return None


def _foreign_fault(request: dict[str, Any]) -> str | None:
    named = [name for name in _FOREIGN if request.get(name) is not None]
    if named:
        return f"{named[0]} is for engines that work in groups, and this one works alone"
    if request.get("priority") not in (None, 0):
        return "priority is the same for every client here"
    return "the model's name is empty" if request.get("model") == "" else None


def _message_fault(messages: Any) -> str | None:
    dicts = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    parts = [part for message in dicts for part in _list(message.get("content")) if isinstance(part, dict)]
    if len(parts) > _ENTRIES:
        return f"the messages have more than {_ENTRIES:,} parts"
    for part in parts:
        if part.get("type") not in _TEXT_PARTS:
            return f"this is a text model; it takes no content of type {str(part.get('type'))[:40]!r}"
    calls = (call for message in dicts for call in _list(message.get("tool_calls")) if isinstance(call, dict))
    return next(filter(None, map(_call_fault, calls)), None)


def _call_fault(call: dict[str, Any]) -> str | None:
    function = call.get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    try:
        json.loads(arguments if isinstance(arguments, str) else "null")
    except RecursionError:
        return "the arguments of a tool call are nested too deeply"
    except ValueError:
        pass  # vLLM's 400
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _model_fault(path: str, request: dict[str, Any]) -> str | None:
    module, name = _MODELS[path]
    if module not in sys.modules:
        return None
    try:
        parsed = getattr(sys.modules[module], name).model_validate(request)
    except ValidationError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return _beam_fault(parsed) or _grammar_fault(parsed)


def _beam_fault(request: Any) -> str | None:
    """vLLM looks at the last token of each beam; with an empty prompt and nothing written there is none.

    A prompt may come out empty in many ways (`[[]]`, no special tokens, cut to 0 tokens), but then a search that writes
    at least one token is refused by vLLM itself. To write none is no search.
    """
    if not request.use_beam_search:
        return None
    if not -_LENGTH_PENALTY <= request.length_penalty <= _LENGTH_PENALTY:  # the power of a length by which it divides
        return f"a length penalty lies between -{_LENGTH_PENALTY} and {_LENGTH_PENALTY}"
    limits = (getattr(request, "max_completion_tokens", None), request.max_tokens)
    limit = next((given for given in limits if given is not None), 1)
    return f"a beam search writes at least one token, not {limit}" if limit < 1 else None


def _grammar_fault(request: Any) -> str | None:
    """Where a grammar leaves only tokens that another option forbids, vLLM samples one that ends the request with 500.

    Whether that happens shows only while it generates, so the combination is refused.
    """
    form, choice = getattr(request.response_format, "type", "text"), getattr(request, "tool_choice", None)
    if request.structured_outputs is None and form == "text" and choice in (None, "none", "auto"):
        return None
    forbids = {
        "allowed_token_ids": request.allowed_token_ids,
        "bad_words": request.bad_words,
        "stop_token_ids with min_tokens": request.stop_token_ids and request.min_tokens,
    }
    named = [option for option, given in forbids.items() if given]
    return f"structured outputs may leave no token that {named[0]} allows" if named else None
