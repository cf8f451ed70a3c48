"""Steps, epochs and micro-batches as functions of seed and step."""

from __future__ import annotations

import pytest

from schemas.training.train_config import TrainingConfig
from trainer.data.dataloader import micro_batches, step_samples, total_steps


def test_every_epoch_sees_every_sample_once_in_another_order() -> None:
    epochs = [
        [sample for step in range(first, first + 4) for sample in step_samples(step, samples=13, batch_size=4, seed=5)]
        for first in (0, 4)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(13))
    assert epochs[0] != epochs[1]


def test_a_steps_samples_depend_on_seed_and_step_alone() -> None:
    once = step_samples(7, samples=13, batch_size=4, seed=5)
    assert once == step_samples(7, samples=13, batch_size=4, seed=5)
    assert once != step_samples(7, samples=13, batch_size=4, seed=6)


@pytest.mark.parametrize(("epochs", "max_steps", "steps"), [(3, None, 12), (0.5, None, 2), (3, 5, 5)])
def test_total_steps(epochs: float, max_steps: int | None, steps: int) -> None:
    training = TrainingConfig(epochs=epochs, max_steps=max_steps, batch_size=4)
    assert total_steps(13, training) == steps


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("by_length", [True, False])
def test_micro_batches_share_out_each_sample_once_and_in_equal_number(processes: int, by_length: bool) -> None:
    samples, lengths = list(range(1, 12)), [(7 * sample) % 5 for sample in range(12)]
    shares = [
        micro_batches(samples, lengths, size=2, processes=processes, rank=rank, by_length=by_length)
        for rank in range(processes)
    ]
    assert sorted(sample for share in shares for part in share for sample in part) == samples
    assert len({len(share) for share in shares}) == 1
    assert max(len(part) for share in shares for part in share) <= 2


def test_fewer_samples_than_processes_leave_a_process_an_empty_micro_batch() -> None:
    shares = [micro_batches([4], [1] * 5, size=2, processes=2, rank=rank, by_length=True) for rank in (0, 1)]
    assert sorted(shares) == [[[]], [[4]]]
