"""Batch: one micro-batch of tokens, laid out as [left-padded prompts | right-padded answers].

Every sample's last prompt token sits in the same column, `boundary`, so the suffix of the echo pass is one slice.

    columns      0 ...... boundary | boundary + 1 ......... C - 1
    sample 0     . . p p p p p p p |  a a a a . . .
    sample 1     p p p p p p p p p |  a a a a a a a          . = padding

Legend: B samples, C columns. A pass runs T = C - 1 of them: the last predicts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor

from trainer.data.tokenization import Example

IGNORED = -100  # label of a token that is not under the loss (transformers' convention)


@dataclass(frozen=True)
class Batch:
    """One micro-batch. `Objective` shifts the labels; nobody else does."""

    input_ids: Tensor
    """[B, C] int64; the id under padding is arbitrary."""
    attention_mask: Tensor
    """[B, C] bool; True at real tokens. Each sample's real tokens are contiguous and include column `boundary`."""
    labels: Tensor
    """[B, C] int64; the token's own id where it is under the loss, else -100."""
    completion_mask: Tensor
    """[B, C] bool; True at tokens of an answer (the same as `labels != -100` for `data.loss_on: answers`)."""
    boundary: int
    """Column of the last token before the first answer, the same for all samples."""

    @property
    def position_ids(self) -> Tensor:
        """[B, C] int64: 0 at each sample's first real token, and under the padding before it."""
        return (self.attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)

    @property
    def supervised(self) -> Tensor:
        """[B, T] bool: True at positions that predict a token under the loss.

        A sample's first real token has nothing before it and is never predicted, whatever its label says.
        """
        return (self.labels[:, 1:] != IGNORED) & self.attention_mask[:, :-1]

    @property
    def before_completion(self) -> Tensor:
        """[B, T] bool: True at positions whose next token belongs to an answer; only these receive the echo."""
        return self.completion_mask[:, 1:] & self.attention_mask[:, :-1]

    @property
    def supervised_tokens(self) -> int:
        """How many tokens are under the loss. The sum over a step's micro-batches and processes normalises its loss."""
        return int(self.supervised.sum())

    @property
    def real_tokens(self) -> int:
        """How many tokens are not padding."""
        return int(self.attention_mask.sum())

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "boundary"}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def collate(examples: Sequence[Example], *, pad_token_id: int, loss_on: Literal["answers", "all"]) -> Batch:
    """The batch of some examples."""
    prompt_columns = max(example.boundary + 1 for example in examples)
    answer_columns = max(len(example.input_ids) - example.boundary - 1 for example in examples)
    shape = (len(examples), prompt_columns + answer_columns)
    input_ids = torch.full(shape, pad_token_id, dtype=torch.int64)
    attention_mask = torch.zeros(shape, dtype=torch.bool)
    completion_mask = torch.zeros(shape, dtype=torch.bool)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    for row, example in enumerate(examples):
        first = prompt_columns - 1 - example.boundary
        columns = slice(first, first + len(example.input_ids))
        input_ids[row, columns] = torch.tensor(example.input_ids)
        attention_mask[row, columns] = True
        completion_mask[row, columns] = torch.tensor(example.completion_mask)
        # The first real token is never a label: it would be predicted from padding.
        under_loss = (
            completion_mask[row]
            if loss_on == "answers"
            else attention_mask[row].index_fill(0, torch.tensor(first), False)
        )
        labels[row, under_loss] = input_ids[row, under_loss]
    return Batch(input_ids, attention_mask, labels, completion_mask, boundary=prompt_columns - 1)


def filler(example: Example, *, pad_token_id: int) -> Batch:
    """A batch without supervised tokens, for a process that has no samples left in a step but must take part in it."""
    batch = collate([example], pad_token_id=pad_token_id, loss_on="answers")
    return Batch(
        batch.input_ids,
        batch.attention_mask,
        torch.full_like(batch.labels, IGNORED),
        torch.zeros_like(batch.completion_mask),
        boundary=batch.boundary,
    )
