"""Task names for tables and plots: the abbreviations of the literature, or the part in which names differ."""

from __future__ import annotations

import os
from collections.abc import Iterable

ABBREVIATIONS = {
    "boolq": "BoolQ",
    "piqa": "PIQA",
    "social_i_qa": "SIQA",
    "social_iqa": "SIQA",
    "hellaswag": "HellaS",
    "winogrande": "WinoG",
    "arc_easy": "ARC-e",
    "arc_challenge": "ARC-c",
    "openbookqa": "OBQA",
    "gsm8k": "GSM8K",
    "humaneval": "HumanEval",
}


def short_names(tasks: Iterable[str]) -> dict[str, str]:
    """Each task's name without the words that all begin with, abbreviated where the literature does."""
    tasks = list(tasks)
    # Character by character is meant: these are names, not paths, and the cut falls on the last underscore.
    prefix = os.path.commonprefix(tasks) if len(tasks) > 1 else ""  # noqa: RUF071
    cut = prefix.rfind("_") + 1
    return {task: ABBREVIATIONS.get(task[cut:], task[cut:]) for task in tasks}
