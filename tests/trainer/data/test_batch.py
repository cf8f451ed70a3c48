"""How examples are laid out in a batch, and what it says about its own columns."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import torch

from trainer.data.batch import Batch, collate, filler
from trainer.data.tokenization import Example


def small() -> Batch:
    """Prompts of 2 and 3 tokens, answers of 2 and 1."""
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 0]], dtype=torch.bool)
    answers = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)
    ids = torch.arange(10).view(2, 5)
    return Batch(ids, mask, torch.where(answers, ids, -100), answers, torch.tensor([1, 2]))


def test_a_position_is_supervised_when_its_next_token_is_under_the_loss() -> None:
    assert small().supervised.int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 0]]
    assert small().supervised_tokens == 3
    assert torch.equal(small().supervised, small().before_completion)


def test_rows_are_counted_along_the_columns_that_a_pass_runs() -> None:
    assert small().supervised_rows.tolist() == [1, 2, 6]
    assert small().boundary_rows.tolist() == [1, 6]


def test_supervised_rows_before_the_boundary_do_not_run_again() -> None:
    """Of a chat whose every token is under the loss, in sample 0; its suffix are the rows 1 and 2."""
    batch = replace(small(), labels=torch.where(small().attention_mask, small().input_ids, -100))
    rows = batch.in_suffix
    assert [rows.answers[0].tolist(), rows.answers[1].tolist()] == [[1, 2, 6], [0, 1, 2]]
    assert rows.once.tolist() == [0, 4, 5]
    assert not len(rows.prompts[0])
    assert all(torch.equal(row, place) for row, place in batch.in_whole_pass[:2])


def test_a_batch_moves_as_a_whole(objectives: ModuleType) -> None:
    moved = objectives.ragged_batch().to(torch.device("meta"))
    assert {
        tensor.device.type for tensor in (moved.input_ids, moved.attention_mask, moved.labels, moved.completion_mask)
    } == {"meta"}
    known = (moved.supervised_rows, moved.boundary_rows, moved.suffix.rows, *moved.in_suffix.answers)
    assert {tensor.device.type for tensor in known} == {"meta"}
    assert small().real_tokens == 8


ONE = Example((5, 6, 7, 8, 9), (False, False, False, True, True), boundary=2)
OTHER = Example((1, 2, 3), (False, True, True), boundary=0)


def test_samples_are_padded_on_the_right() -> None:
    batch = collate([ONE, OTHER, Example((1, 2), (False, True), boundary=0)], pad_token_id=0, loss_on="answers")
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9], [1, 2, 3, 0, 0], [1, 2, 0, 0, 0]]
    assert batch.attention_mask.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert batch.labels.tolist() == [[-100, -100, -100, 8, 9], [-100, 2, 3, -100, -100], [-100, 2, -100, -100, -100]]
    assert batch.boundaries.tolist() == [2, 0, 0]


def test_loss_on_all_leaves_out_only_padding_and_the_first_token() -> None:
    batch = collate([ONE, OTHER], pad_token_id=0, loss_on="all")
    assert batch.labels.tolist() == [[-100, 6, 7, 8, 9], [-100, 2, 3, -100, -100]]
    assert batch.supervised_tokens == ONE.supervised_tokens("all") + OTHER.supervised_tokens("all")
    assert batch.completion_mask.int().tolist() == [[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]]


def test_a_filler_has_no_supervised_tokens() -> None:
    batch = filler(ONE, pad_token_id=0)
    assert batch.supervised_tokens == 0
    assert not torch.any(batch.completion_mask)
