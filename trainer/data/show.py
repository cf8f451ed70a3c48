"""Prints examples as the model is trained on them, the tokens under the loss in colour: what is learned, to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from schemas.base.base_model import read_config
from schemas.base.context_window import context_window
from schemas.base.find_base import find_base
from schemas.training.train_config import TrainConfig
from trainer.data.dataset import load_training_data
from trainer.data.tokenization import Example
from trainer.model.base_model import load_tokenizer

_LEARNED = "bold green"
_MARKS = ("⟦", "⟧")


def show(config: TrainConfig, console: Console, *, examples: int = 3) -> None:
    """Reads, tokenises and splits the config's data as training does, and prints the first examples.

    Args:
        config: the run. Of its base, only the tokenizer is read.
        console: where to print; without colours, what is learned stands between ⟦ and ⟧.
        examples: how many to print.

    Raises:
        UserError: see `load_training_data`.
    """
    files = find_base(config.base.model, config.base.revision)
    tokenizer = load_tokenizer(files, trust_remote_code=config.base.trust_remote_code)
    data = load_training_data(config, tokenizer, window=context_window(read_config(files.directory)), quiet=True)
    for number, example in enumerate(data.train[:examples], start=1):
        learned = example.supervised_tokens(config.data.loss_on)
        console.rule(f"example {number} of {len(data.train):,}: {len(example)} tokens, {learned} learned", align="left")
        marked = console.color_system is None
        console.print(coloured(example, tokenizer, all_learned=config.data.loss_on == "all", marked=marked))
    for reason, count in data.dropped.items():
        console.print(f"left out {count:,} examples: {reason.replace('_', ' ')}", highlight=False, soft_wrap=True)


def coloured(example: Example, tokenizer: PreTrainedTokenizerBase, *, all_learned: bool, marked: bool) -> Text:
    """The example's text, special tokens included, with what is learned coloured and, where asked, between marks."""
    text = Text()
    for learned, ids in _stretches(example, all_learned=all_learned):
        written = tokenizer.decode(ids)
        before, after = _MARKS if learned and marked else ("", "")
        text.append(f"{before}{written}{after}", style=_LEARNED if learned else "")
    return text


def _stretches(example: Example, *, all_learned: bool) -> Iterator[tuple[bool, list[int]]]:
    """Token ids in turn, those that are learned together and those that are not; nothing predicts the first token."""
    supervised = [all_learned or answer for answer in example.completion_mask]
    supervised[0] = False
    for learned, pairs in groupby(zip(supervised, example.input_ids, strict=True), key=lambda pair: pair[0]):
        yield learned, [token for _, token in pairs]
