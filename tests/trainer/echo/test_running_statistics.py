"""The running statistics are of samples: however they are cut into batches, and over a stop, they are the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.echo.running_statistics import RunningStatistics


def seen(parts: Iterable[Tensor], *, rate: float = 0.5, whitened: bool = False, steps: int = 1) -> RunningStatistics:
    """Statistics of `steps` steps of these micro-batches."""
    statistics, batches = RunningStatistics(rate, whitened=whitened), list(parts)
    for _ in range(steps):
        for part in batches:
            statistics.collect(part, torch.ones(len(part), dtype=torch.bool))
        statistics.end_step(lambda tensor: tensor)
    return statistics


def test_before_the_first_step_there_is_no_echo() -> None:
    assert not seen([], steps=0).distinct(torch.randn(3, 4)).any()


def test_what_all_samples_share_is_taken_out() -> None:
    x = torch.randn(50, 4) + 100
    torch.testing.assert_close(seen([x]).distinct(x), x - x.mean(dim=0), rtol=1e-4, atol=1e-4)


def test_whitened_states_vary_alike_in_all_directions() -> None:
    x = torch.randn(500, 3) @ torch.tensor([[5.0, 1, 0], [0, 1, 1], [0, 0, 0.7]])
    plain, white = (seen([x], whitened=whitened).distinct(x) for whitened in (False, True))
    spread = [torch.linalg.eigvalsh(torch.cov(states.T)) for states in (plain, white)]
    assert spread[0].max() / spread[0].min() > 40
    assert spread[1].max() / spread[1].min() < 8  # not 1: a tenth of the covariance is shrunk to a sphere


@pytest.mark.parametrize("whitened", [False, True])
def test_micro_batches_and_fillers_change_nothing(whitened: bool) -> None:
    x = torch.randn(12, 4)
    whole, cut = seen([x], whitened=whitened), seen([x[:5], x[5:6], x[6:]], whitened=whitened)
    for name, value in whole.tensors().items():
        torch.testing.assert_close(cut.tensors()[name], value)
    filled = RunningStatistics(0.5, whitened=whitened)
    filled.collect(torch.cat([x, 9 * x[:1]]), torch.arange(13) < 12)
    filled.end_step(lambda tensor: tensor)
    for name, value in whole.tensors().items():
        torch.testing.assert_close(filled.tensors()[name], value)


def test_the_first_steps_count_alike_and_later_ones_by_their_rate() -> None:
    statistics, means = RunningStatistics(0.25, whitened=False), []
    for value in (0.0, 1.0, 2.0, 3.0, 4.0):
        statistics.collect(torch.full((2, 1), value), torch.ones(2, dtype=torch.bool))
        statistics.end_step(lambda tensor: tensor)
        means.append(float(statistics.tensors()["mean"]))
    assert means == pytest.approx([0, 0.5, 1, 1.5, 1.5 + 0.25 * 2.5])


def test_a_pass_without_gradient_for_validation_collects_nothing(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config(echo={"normalisation": "centred"})).eval()
    objective(objectives.ragged_batch(), True, 1)
    objective.end_step(echo_on=True, reduce=lambda tensor: tensor)
    assert objective.running_tensors() == {}


@pytest.mark.parametrize(
    "echo",
    [
        {"normalisation": "whitened", "pooling": "question", "gradient_to_echo": True, "learn_scale": True},
        {"content": "none", "loss_weight": 0.0, "distillation": {"teacher": "average"}},
    ],
    ids=["running statistics", "averaged weights"],
)
def test_a_run_that_goes_on_from_a_checkpoint_ends_in_the_same_bytes(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType, echo: dict[str, Any]
) -> None:
    changes = {"method": "echo_lora", "echo": {"bottleneck": 8, **echo}, "training__keep_checkpoints": 9}
    config = training_runs.make_config(tmp_path, tiny_base, records[:28], **changes)
    run = training_runs.run(config)
    undisturbed = training_runs.adapter_sha256(run)
    shutil.rmtree(run.adapter)  # as killed after the checkpoint of step 2
    for path in run.checkpoints.iterdir():
        if path.name != "step-00000002":
            shutil.rmtree(path)
    assert (run.checkpoints / "step-00000002" / "running.safetensors").exists()
    assert training_runs.adapter_sha256(training_runs.run(config)) == undisturbed
