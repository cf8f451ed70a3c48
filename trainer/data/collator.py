"""Lays examples out as [left-padded prompts | right-padded answers], so that all boundaries share a column.

Legend of shapes: B samples, T = P + S columns; P columns of prompt, S of answers; the boundary is column P - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from trainer.data.batch import Batch
from trainer.data.tokenization import Example

IGNORED = -100


def collate(examples: Sequence[Example], *, pad_token_id: int, loss_on: Literal["answers", "all"]) -> Batch:
    """The batch of some examples."""
    prompt_columns = max(example.boundary + 1 for example in examples)
    answer_columns = max(len(example) - example.boundary - 1 for example in examples)
    shape = (len(examples), prompt_columns + answer_columns)
    input_ids = torch.full(shape, pad_token_id, dtype=torch.int64)
    attention_mask = torch.zeros(shape, dtype=torch.bool)
    answers = torch.zeros(shape, dtype=torch.bool)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    for row, example in enumerate(examples):
        first = prompt_columns - 1 - example.boundary
        columns = slice(first, first + len(example))
        input_ids[row, columns] = torch.tensor(example.input_ids)
        attention_mask[row, columns] = True
        answers[row, columns] = torch.tensor(example.answers)
        # The first real token is never a label: it would be predicted from padding.
        under_loss = (
            answers[row] if loss_on == "answers" else attention_mask[row].index_fill(0, torch.tensor(first), False)
        )
        labels[row, under_loss] = input_ids[row, under_loss]
    return Batch(input_ids, attention_mask, labels, answers, boundary=prompt_columns - 1)


def filler(example: Example, *, pad_token_id: int) -> Batch:
    """A batch without supervised tokens, for a process that has no samples left in a step but must take part in it."""
    batch = collate([example], pad_token_id=pad_token_id, loss_on="answers")
    return Batch(
        batch.input_ids,
        batch.attention_mask,
        torch.full_like(batch.labels, IGNORED),
        torch.zeros_like(batch.answers),
        boundary=batch.boundary,
    )
