"""Batch: one micro-batch of tokens, padded on the right, with the rows that its losses and its echo pass need.

    columns      0 ............................ C - 1
    sample 0     p p p P a a a . . . . .        P = boundary, the last token before the first answer
    sample 1     p p p p p p P a a a a a        . = padding

Padding only ever follows, so causal attention never sees it and needs no mask. Which rows count is worked out here, where
the batch still lies on the CPU: on a GPU it would make the host wait (`nonzero`).

Legend: B samples, C columns. A pass runs T = C - 1 of them: the last predicts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trainer.data.suffix import Suffix
from trainer.data.tokenization import Example

_ROWS = ("supervised_rows", "boundary_rows", "suffix", "in_whole_pass", "in_suffix")
IGNORED = -100  # label of a token that is not under the loss (transformers' convention)


class PairedRows(NamedTuple):
    """The supervised rows, each as its index in B x T and its place in an echo pass."""

    answers: tuple[Tensor, Tensor]
    """Those whose next token belongs to an answer; every echo pass runs them."""
    prompts: tuple[Tensor, Tensor]
    """The others that the echo pass ran (`data.loss_on: all`)."""
    once: Tensor
    """The others that it did not run: index in B x T alone."""

    def to(self, device: torch.device) -> PairedRows:
        """The same on another device."""
        answers, prompts = (
            (rows.to(device, non_blocking=True), places.to(device, non_blocking=True)) for rows, places in self[:2]
        )
        return PairedRows(answers, prompts, self.once.to(device, non_blocking=True))


@dataclass(frozen=True)
class Batch:
    """One micro-batch. `Objective` shifts the labels; nobody else does."""

    input_ids: Tensor
    """[B, C] int64; the id under padding is arbitrary."""
    attention_mask: Tensor
    """[B, C] bool; True at real tokens, which are each sample's first columns."""
    labels: Tensor
    """[B, C] int64; the token's own id where it is under the loss, else -100."""
    completion_mask: Tensor
    """[B, C] bool; True at tokens of an answer (the same as `labels != -100` for `data.loss_on: answers`)."""
    boundaries: Tensor
    """[B] int64; the column of each sample's last token before its first answer."""

    @property
    def supervised(self) -> Tensor:
        """[B, T] bool: True at positions that predict a token under the loss."""
        return (self.labels[:, 1:] != IGNORED) & self.attention_mask[:, :-1]

    @property
    def before_completion(self) -> Tensor:
        """[B, T] bool: True at positions whose next token belongs to an answer; only these receive the echo."""
        return self.completion_mask[:, 1:] & self.attention_mask[:, :-1]

    @cached_property
    def supervised_rows(self) -> Tensor:
        """[R]: the supervised rows in B x T."""
        return _rows_of(self.supervised)

    @cached_property
    def in_whole_pass(self) -> PairedRows:
        """The supervised rows and their places in an echo pass over all columns."""
        answers = _rows_of(self.supervised & self.before_completion)
        prompts = _rows_of(self.supervised & ~self.before_completion)
        return PairedRows((answers, answers), (prompts, prompts), prompts[:0])

    @cached_property
    def in_suffix(self) -> PairedRows:
        """The supervised rows and their places in an echo pass over the suffix."""
        (answers, _), (prompts, _), _ = self.in_whole_pass
        places = self.suffix.places
        twice = prompts[places[prompts] >= 0]
        return PairedRows((answers, places[answers]), (twice, places[twice]), prompts[places[prompts] < 0])

    @cached_property
    def boundary_rows(self) -> Tensor:
        """[B]: in B x T, where each sample's echo is read."""
        samples, columns = self.input_ids.shape
        return torch.arange(samples, device=self.boundaries.device) * (columns - 1) + self.boundaries

    @cached_property
    def suffix(self) -> Suffix:
        """The rows that an echo pass runs: in each sample from the boundary to the last supervised one."""
        return Suffix.of(self.supervised, self.boundaries)

    @property
    def supervised_tokens(self) -> int:
        """How many tokens are under the loss. The sum over a step's micro-batches and processes normalises its loss."""
        return int(self.supervised.sum())

    @property
    def real_tokens(self) -> int:
        """How many tokens are not padding."""
        return int(self.attention_mask.sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device, with the rows that were found here."""
        tensors = {field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        moved = replace(self, **tensors)
        for name in _ROWS:
            rows: Tensor | Suffix | PairedRows = getattr(self, name)
            on_device = rows.to(device, non_blocking=True) if isinstance(rows, Tensor) else rows.to(device)
            moved.__dict__[name] = on_device
        return moved


def _rows_of(mask: Tensor) -> Tensor:
    """The indices of a mask's True elements, in order, whatever its shape."""
    return mask.flatten().nonzero().squeeze(1)


def collate(examples: Sequence[Example], *, pad_token_id: int, loss_on: Literal["answers", "all"]) -> Batch:
    """The batch of some examples."""
    shape = (len(examples), max(map(len, examples)))
    input_ids = torch.full(shape, pad_token_id, dtype=torch.int64)
    attention_mask = torch.zeros(shape, dtype=torch.bool)
    completion_mask = torch.zeros(shape, dtype=torch.bool)
    for row, example in enumerate(examples):
        input_ids[row, : len(example)] = torch.tensor(example.input_ids)
        attention_mask[row, : len(example)] = True
        completion_mask[row, : len(example)] = torch.tensor(example.completion_mask)
    under_loss = (completion_mask if loss_on == "answers" else attention_mask).clone()
    under_loss[:, 0] = False  # nothing stands before the first token to predict it from
    labels = torch.where(under_loss, input_ids, IGNORED)
    boundaries = torch.tensor([example.boundary for example in examples])
    batch = Batch(input_ids, attention_mask, labels, completion_mask, boundaries)
    for name in _ROWS:  # now, in the thread that collates
        getattr(batch, name)
    return batch


def filler(example: Example, *, pad_token_id: int) -> Batch:
    """A batch without supervised tokens, for a process that has no samples left in a step but must take part in it."""
    batch = collate([example], pad_token_id=pad_token_id, loss_on="answers")
    return replace(
        batch,
        labels=torch.full_like(batch.labels, IGNORED),
        completion_mask=torch.zeros_like(batch.completion_mask),
    )
