"""How examples are laid out in a batch, and what it says about its own columns."""

from __future__ import annotations

from types import ModuleType

import torch

from trainer.data.batch import Batch, collate, filler
from trainer.data.tokenization import Example


def small() -> Batch:
    """Prompts of 2 and 3 tokens, answers of 2 and 1."""
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]], dtype=torch.bool)
    answers = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 1, 0]], dtype=torch.bool)
    ids = torch.arange(10).view(2, 5)
    return Batch(ids, mask, torch.where(answers, ids, -100), answers, boundary=2)


def test_positions_count_each_samples_real_tokens() -> None:
    assert small().position_ids.tolist() == [[0, 0, 1, 2, 3], [0, 1, 2, 3, 3]]


def test_a_position_is_supervised_when_its_next_token_is_under_the_loss() -> None:
    assert small().supervised.int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]
    assert small().supervised_tokens == 3
    assert torch.equal(small().supervised, small().before_completion)


def test_the_first_real_token_is_never_predicted_from_padding() -> None:
    batch = small()
    labels = torch.where(batch.attention_mask, batch.input_ids, -100)
    everything = Batch(batch.input_ids, batch.attention_mask, labels, batch.completion_mask, batch.boundary)
    assert everything.supervised.int().tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]


def test_a_batch_moves_as_a_whole(objectives: ModuleType) -> None:
    moved = objectives.ragged_batch().to("meta")
    assert {
        tensor.device.type for tensor in (moved.input_ids, moved.attention_mask, moved.labels, moved.completion_mask)
    } == {"meta"}
    assert moved.boundary == 10
    assert small().real_tokens == 8


ONE = Example((5, 6, 7, 8, 9), (False, False, False, True, True), boundary=2)
OTHER = Example((1, 2, 3), (False, True, True), boundary=0)


def test_prompts_are_padded_on_the_left_and_answers_on_the_right() -> None:
    batch = collate([ONE, OTHER, Example((1, 2), (False, True), boundary=0)], pad_token_id=0, loss_on="answers")
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9], [0, 0, 1, 2, 3], [0, 0, 1, 2, 0]]
    assert batch.attention_mask.int().tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]
    assert batch.labels.tolist() == [[-100, -100, -100, 8, 9], [-100, -100, -100, 2, 3], [-100, -100, -100, 2, -100]]
    assert batch.boundary == 2


def test_loss_on_all_leaves_out_only_padding_and_the_first_token() -> None:
    batch = collate([ONE, OTHER], pad_token_id=0, loss_on="all")
    assert batch.labels.tolist() == [[-100, 6, 7, 8, 9], [-100, -100, -100, 2, 3]]
    assert batch.supervised_tokens == ONE.supervised_tokens("all") + OTHER.supervised_tokens("all")
    assert batch.completion_mask.int().tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]


def test_a_filler_has_no_supervised_tokens() -> None:
    batch = filler(ONE, pad_token_id=0)
    assert batch.supervised_tokens == 0
    assert not torch.any(batch.completion_mask)
