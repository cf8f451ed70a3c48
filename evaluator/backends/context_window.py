"""Long prompts meet small models: caps the new tokens, and counts the prompts that lost their beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.base.base_model import read_config
from schemas.base.context_window import context_window as window_of

DEFAULT_NEW_TOKENS = 256  # lm-eval's, where a task names none

Request = tuple[Any, list[int], list[int]]
"""A cache key, the prompt's tokens, the continuation's: what lm-eval asks the log-likelihood of."""


def context_window(directory: Path) -> int | None:
    """Longest input of a model in tokens, new ones included; None where its config does not say."""
    return window_of(read_config(directory))


def cap_new_tokens(tasks: Mapping[str, Any], window: int | None) -> tuple[str, ...]:
    """Leaves at least half of the window to the prompt; returns a note where that changed a task."""
    notes = []
    for name, task in tasks.items():
        settings = task.config.generation_kwargs
        if window is None or settings is None:
            continue
        wanted = settings.get("max_gen_toks", DEFAULT_NEW_TOKENS)
        if wanted > window // 2:
            settings["max_gen_toks"] = window // 2
            notes.append(f"{name}: {window // 2} new tokens instead of {wanted}, the model's window is {window}")
    return tuple(notes)


def left_truncated(requests: Sequence[Request], window: int) -> list[Request]:
    """Requests whose prompts lost the beginning that does not fit: one left truncation for all backends.

    Prompt and continuation leave one token of the window free: servers generate one even where they are only asked for
    log-probabilities, and transformers, which need not, would then see one token more of the same prompt.

    Args:
        requests: cache key, the prompt's tokens and the continuation's.
        window: see `context_window`.
    """
    return [(key, prompt[-max(1, window - 1 - len(rest)) :], rest) for key, prompt, rest in requests]


def cut_prompts(directory: Path, logged: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """A note on how many prompts were longer than the model's window, so that backends cut their beginning off."""
    window = context_window(directory)
    if window is None:
        return ()
    limits: dict[str, int] = {}
    for entry in logged:
        for prompt, rest in entry["arguments"]:
            new = rest.get("max_gen_toks", DEFAULT_NEW_TOKENS) if isinstance(rest, dict) else 1
            limits[prompt] = min(limits.get(prompt, window), window - new)
    lengths = _token_counts(directory, list(limits))
    cut = sum(length > limit for length, limit in zip(lengths, limits.values(), strict=True))
    if not cut:
        return ()
    return (
        f"{cut} of {len(limits)} prompts are longer than the model's window of {window} tokens and lost their beginning",
    )


def _token_counts(directory: Path, prompts: Sequence[str]) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    return [len(ids) for ids in tokenizer(list(prompts), verbose=False)["input_ids"]]
