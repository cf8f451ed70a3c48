"""How many tokens a base model was made for, read from its config as vLLM reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def context_window(config: Mapping[str, Any]) -> int | None:
    """Longest input in tokens, new ones included; None where the config does not say.

    Linear, dynamic and YaRN scaling of the rotary positions stretch the window by their factor; Llama 3's and long rope
    name the stretched length themselves.
    """
    text = config.get("text_config") or config
    length = text.get("max_position_embeddings")
    rope = text.get("rope_scaling") or text.get("rope_parameters") or {}
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if kind == "yarn":
        length = rope.get("original_max_position_embeddings") or length
    if not isinstance(length, int):
        return None
    return int(length * factor) if kind in ("linear", "dynamic", "yarn") and factor else length
