"""The examples of a run: what is trained on, what to validate on, where they came from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import TEMPLATES, TemplateName
from schemas.training.adapter_manifest import DataRecord, SourceRecord
from schemas.training.train_config import DataConfig, TrainConfig
from trainer.data.sources import LoadedSource, load_sources
from trainer.data.token_cache import kept_or_made
from trainer.data.tokenization import Example, Examples, make_examples

TOKENS = ".tokens"
"""Directory of kept tokens, beside the runs."""


@dataclass(frozen=True)
class TrainingData:
    """Examples and their origin."""

    train: Sequence[Example]
    """Trained on."""
    validation: Sequence[Example]
    """Taken out at random; empty where the config says 0."""
    sources: Sequence[LoadedSource]
    """The sources as read."""
    dropped: dict[str, int]
    """Records left out, by reason."""


def load_training_data(
    config: TrainConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int | None = None,
    vocabulary: int | None = None,
    quiet: bool = False,
) -> TrainingData:
    """Reads, tokenises and splits the config's data.

    Args:
        config: the run.
        tokenizer: the base's.
        window: tokens that the base can take; None does not ask.
        vocabulary: rows of the base's embedding; None does not ask.
        quiet: no progress bar.

    Raises:
        UserError: see `load_sources` and `make_examples`; a token is beyond the embedding; or nothing is left to train on.
    """
    sources = load_sources(config.data)
    examples = kept_or_made(
        Path(config.runs) / TOKENS,
        sources,
        tokenizer,
        config.data,
        window,
        lambda: make_examples(sources, tokenizer, config.data, window=window, quiet=quiet),
    )
    if vocabulary is not None:
        _require_embedded(examples.kept, tokenizer, vocabulary)
    train, validation = _split(examples, config)
    return TrainingData(train, validation, sources, dict(examples.dropped.items()))


def _require_embedded(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
    """A token that was added to the tokenizer and not to the base has no embedding."""
    highest = max((max(example.input_ids) for example in examples), default=0)
    if highest >= vocabulary:
        raise UserError(
            f"the tokenizer writes {tokenizer.convert_ids_to_tokens(highest)!r} of the training data as token {highest}, "
            f"the base's embedding has {vocabulary} rows",
            where="base.model",
            fix="resize the base's embedding to its tokenizer, or take the added tokens out of the tokenizer",
        )


def _split(examples: Examples, config: TrainConfig) -> tuple[list[Example], list[Example]]:
    """Takes validation rows out at random, from the run's seed; both parts keep the sources' order."""
    rows, wanted = len(examples.kept), config.data.validation_rows
    if wanted >= rows:
        raise UserError(
            f"data.validation_rows takes {wanted} of {rows} examples, which leaves none to train on",
            where="data.validation_rows",
            fix="lower it; 0 switches the validation loss off",
        )
    chosen = set(random.Random(f"split-{config.seed}").sample(range(rows), wanted))  # noqa: S311 not for secrets
    train = [example for row, example in enumerate(examples.kept) if row not in chosen]
    return train, [examples.kept[row] for row in sorted(chosen)]


def data_record(data: TrainingData, settings: DataConfig, tokenizer: PreTrainedTokenizerBase) -> DataRecord:
    """The manifest's account of the data."""
    template, text_sha256 = _template(settings, tokenizer)
    return DataRecord(
        sources=tuple(SourceRecord(path=s.path, rows=len(s.rows), sha256=s.sha256) for s in data.sources),
        template=template,
        template_sha256=text_sha256,
        prompt=settings.prompt,
        train_rows=len(data.train),
        validation_rows=len(data.validation),
        dropped=data.dropped,
        supervised_tokens=sum(example.supervised_tokens(settings.loss_on) for example in data.train),
    )


def _template(settings: DataConfig, tokenizer: PreTrainedTokenizerBase) -> tuple[TemplateName | Literal["own"], str]:
    """What made the prompts, and the hash of its text."""
    if settings.format == "messages":
        return "chat", hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
    if settings.prompt is not None:
        return "own", hashlib.sha256(f"{settings.prompt}\0{settings.answer_prefix}".encode()).hexdigest()
    return settings.template, TEMPLATES[settings.template].sha256
