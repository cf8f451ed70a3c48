"""Keeps tokenised data on the disk under a hash of all that they follow from, so that they are made once and not per process.

A file holds flat arrays: every example's tokens and their completion mask one after the other. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from transformers import PreTrainedTokenizerBase

from schemas.document import write_atomically
from schemas.training.train_config import DataConfig
from trainer.data.sources import LoadedSource
from trainer.data.tokenization import Example, Examples

_LAYOUT = 1
"""Raised with what the arrays mean, or with how text becomes tokens here."""
_WORTH_KEEPING = 5_000
"""Rows; fewer are tokenised in a second."""


def kept_or_made(
    directory: Path,
    sources: Sequence[LoadedSource],
    tokenizer: PreTrainedTokenizerBase,
    data: DataConfig,
    window: int | None,
    make: Callable[[], Examples],
) -> Examples:
    """The examples that `make` gives, from the directory where it was called for the same before.

    A directory that cannot be written and a file that cannot be read cost time, nothing else.
    """
    if sum(len(source.rows) for source in sources) < _WORTH_KEEPING or not tokenizer.is_fast:
        return make()
    path = directory / f"{_key(sources, tokenizer, data, window)}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept
    made = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _to_bytes(made))
    except OSError:
        pass
    return made


def _key(
    sources: Sequence[LoadedSource], tokenizer: PreTrainedTokenizerBase, data: DataConfig, window: int | None
) -> str:
    """Hash over the rows, the tokenizer with its template and special tokens, and the settings."""
    parts = [
        _LAYOUT,
        *(version(package) for package in ("echo-lora", "transformers", "tokenizers")),
        [source.sha256 for source in sources],
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        str(tokenizer.chat_template),
        data.model_dump(mode="json", exclude={"train"}),
        window,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _to_bytes(examples: Examples) -> bytes:
    kept = examples.kept
    arrays = {
        "input_ids": np.fromiter((token for example in kept for token in example.input_ids), dtype=np.int32),
        "completion_mask": np.packbits(
            np.fromiter((learned for example in kept for learned in example.completion_mask), dtype=np.bool_)
        ),
        "lengths": np.array([len(example) for example in kept], dtype=np.int32),
        "boundaries": np.array([example.boundary for example in kept], dtype=np.int32),
    }
    return bytes(save(arrays, metadata={"dropped": json.dumps(examples.dropped)}))


def _read(path: Path) -> Examples | None:
    """The examples of a file; None where it is missing or no file of ours."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
            dropped = json.loads(file.metadata()["dropped"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    lengths = arrays["lengths"].tolist()
    ids = arrays["input_ids"].tolist()
    learned = np.unpackbits(arrays["completion_mask"], count=len(ids)).astype(np.bool_).tolist()
    spans = list(pairwise(accumulate(lengths, initial=0)))
    examples = Examples()
    examples.dropped.update(dropped)
    examples.kept = [
        Example(tuple(ids[start:end]), tuple(learned[start:end]), boundary)
        for (start, end), boundary in zip(spans, arrays["boundaries"].tolist(), strict=True)
    ]
    return examples
