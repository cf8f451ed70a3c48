"""Steps, epochs and micro-batches as functions of seed and step."""

from __future__ import annotations

from types import ModuleType

import pytest

from schemas.training.train_config import TrainingConfig
from trainer.data.dataloader import StepBatches, pass_tokens, step_samples, total_steps
from trainer.data.tokenization import Example


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


@pytest.mark.parametrize(("costs", "micro_batches"), [(32, 2), (256, 1)])
def test_uneven_samples_run_in_micro_batches_that_save_more_padding_than_a_pass_costs(
    objectives: ModuleType, costs: int, micro_batches: int
) -> None:
    examples = [Example((5,) * length, (False, True) * (length // 2), boundary=0) for length in (60, 60, 20, 20)]
    batches = StepBatches(examples, objectives.train_config(training={"batch_size": 4}), 0, pass_tokens=costs)
    assert len(list(batches.batches(range(4)))) == micro_batches


def test_samples_that_take_each_others_echo_are_not_alone(objectives: ModuleType) -> None:
    examples = [Example((5,) * length, (False, True) * (length // 2), boundary=0) for length in (90, 20, 20)]
    counts = {}
    for method in ("lora", "echo_lora"):
        config = objectives.train_config(method, training={"batch_size": 4})
        counts[method] = [len(b.input_ids) for b in StepBatches(examples, config, 0).batches(range(3))]
    assert counts == {"lora": [1, 2], "echo_lora": [3]}


def test_a_pass_costs_a_gpu_more_tokens_of_a_smaller_model() -> None:
    assert pass_tokens("cpu", 10**9) == pass_tokens("cpu", 10**11)
    assert (
        pass_tokens("cuda", 10**9)
        > pass_tokens("cuda", 8 * 10**9)
        > pass_tokens("cuda", 10**12)
        > pass_tokens("cpu", 1)
    )
