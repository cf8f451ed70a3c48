"""Where the answer to a label task ends: the first label, since it is the one that counts, whatever is written after it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def labels_of(task: Any) -> tuple[str, ...]:
    """The labels whose first occurrence is the whole answer of a greedy task; empty where more text may count.

    Args:
        task: an lm-eval task.
    """
    settings: Mapping[str, Any] = task.config.generation_kwargs or {}
    filters = task.config.filter_list or []
    if task.OUTPUT_TYPE != "generate_until" or settings.get("do_sample") or settings.get("num_beams", 1) > 1:
        return ()
    if len(filters) != 1 or [step["function"] for step in filters[0]["filter"]] != ["regex", "take_first"]:
        return ()
    first = filters[0]["filter"][0]
    labels = tuple(str(first["regex_pattern"]).split("|"))
    literal = all(label and re.escape(label) == label for label in labels)
    apart = not any(one in other for one in labels for other in labels if one != other)
    return labels if literal and apart and not first.get("group_select") else ()


def until_first_label(text: str, labels: Sequence[str]) -> str:
    """The text up to and with its first label; all of it where it holds none."""
    ends = [(text.index(label), len(label)) for label in labels if label in text]
    return text[: sum(min(ends))] if ends else text
