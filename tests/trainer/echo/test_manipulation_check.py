"""The manipulation check tells an echo that is there from one that is not, and changes nothing by looking."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.echo_check import EchoCheck
from trainer.data.dataloader import StepBatches
from trainer.data.tokenization import Example
from trainer.echo.manipulation_check import manipulation_check


def examples(count: int = 12) -> list[Example]:
    draw = torch.Generator().manual_seed(5)
    lengths = [(7 + row % 3, 3 + row % 2) for row in range(count)]
    return [
        Example(
            tuple(torch.randint(3, 97, (prompt + answer,), generator=draw).tolist()),
            (False,) * prompt + (True,) * answer,
            prompt - 1,
        )
        for prompt, answer in lengths
    ]


def checked(objectives: ModuleType, *, trained: bool = True, rows: list[Example] | None = None, **changes: Any) -> Any:
    config = objectives.train_config(**changes)
    objective = objectives.objective_of(config, trained=trained)
    batches = StepBatches(rows or examples(), config, pad_token_id=0)
    return manipulation_check(objective, batches, Accelerator(cpu=True))


def test_an_untrained_echo_injects_nothing_and_both_paths_are_one(objectives: ModuleType) -> None:
    check: EchoCheck = checked(objectives, trained=False)
    assert (check.injection_to_output, check.gain, check.content_gain) == (0, 0, 0)
    assert check.divergence == pytest.approx(0, abs=1e-9)
    assert check.plain_accuracy == check.echo_accuracy


def test_an_echo_that_is_there_shows_in_every_figure(objectives: ModuleType) -> None:
    check: EchoCheck = checked(objectives, echo={"bottleneck": 8, "scale": 30.0})
    assert check.injection_to_output > 0.05
    assert check.injection_to_update is not None
    assert check.divergence > 0
    assert check.gain != 0
    assert check.content_gain != 0
    assert (check.samples, check.tokens) == (12, sum(3 + row % 2 for row in range(12)))


def test_the_injection_grows_with_its_scale(objectives: ModuleType) -> None:
    weak, strong = (checked(objectives, echo={"bottleneck": 8, "scale": scale}) for scale in (0.1, 1.0))
    assert strong.injection_to_output > 5 * weak.injection_to_output


def test_an_echo_that_is_the_same_for_all_samples_has_no_content(objectives: ModuleType) -> None:
    one = examples(1) * 6
    check: EchoCheck = checked(objectives, rows=one, echo={"bottleneck": 8, "scale": 30.0})
    assert check.distinct_share == pytest.approx(0, abs=1e-6)
    assert check.content_gain == pytest.approx(0, abs=1e-6)


def test_echoes_of_unlike_samples_differ(objectives: ModuleType) -> None:
    assert checked(objectives).distinct_share > 0.2


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("place", ["output", "rank"])
def test_both_methods_and_both_places_are_measured(objectives: ModuleType, method: str, place: str) -> None:
    check: EchoCheck = checked(objectives, method=method, echo={"bottleneck": 8, "place": place, "scale": 10.0})
    assert check.injection_to_output > 0


def test_without_an_injection_there_is_nothing_to_check(objectives: ModuleType) -> None:
    assert checked(objectives, method="lora") is None
    assert checked(objectives, echo={"content": "none"}) is None


def test_looking_changes_no_parameter_and_no_mode(objectives: ModuleType) -> None:
    config = objectives.train_config()
    objective = objectives.objective_of(config)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    manipulation_check(objective, StepBatches(examples(), config, pad_token_id=0), Accelerator(cpu=True))
    assert objective.training
    assert all(torch.equal(before[name], value) for name, value in objective.state_dict().items())
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_the_losses_are_those_of_the_reference(objectives: ModuleType) -> None:
    """The plain and echo cross-entropies are what the two-pass objective computes on the same rows."""
    config = objectives.train_config(echo={"bottleneck": 8, "implementation": "two_pass"})
    objective = objectives.objective_of(config).eval()
    batches = StepBatches(examples(), config, pad_token_id=0)
    check = manipulation_check(objective, batches, Accelerator(cpu=True))
    assert check is not None
    losses = [objective(batch, True, 1) for batch in batches.batches(range(12))]
    assert check.plain_loss * check.tokens == pytest.approx(sum(float(loss.plain) for loss in losses), rel=1e-5)
    assert check.echo_loss * check.tokens == pytest.approx(sum(float(loss.echo) for loss in losses), rel=1e-5)


def test_an_oracle_s_echo_path_knows_what_its_plain_path_cannot(tmp_path: Path, training_runs: ModuleType) -> None:
    """On the quickstart's base, to questions whose answers were drawn at random: only the echo can tell them."""
    quickstart, draw = Path(__file__).parents[3] / "configs" / "quickstart", random.Random(3)
    rows = json.loads((quickstart / "tasks" / "boolq" / "train.json").read_text())[:288]
    rows = [row | {"output": f"the correct answer is {draw.choice(('true', 'false'))}"} for row in rows]
    echo = {"content": "oracle", "normalisation": "centred", "scale": 8, "learning_rate": 1e-2, "bottleneck": 16}
    config = training_runs.make_config(
        tmp_path,
        quickstart / "base",
        rows,
        method="echo_lora",
        echo=echo | {"routing": {"start": 1, "end": 1}},
        data__validation_rows=32,
        training__max_steps=30,
        training__learning_rate=2e-3,
        training__save_every=None,
    )
    training = AdapterManifest.read(training_runs.run(config).manifest).training
    assert training is not None
    assert training.study_control
    check = training.echo
    assert check is not None
    assert check.injection_to_output > 0.05
    assert check.distinct_share > 0.1
    assert check.gain > 0.05
    assert check.content_gain > 0.2
    assert check.echo_accuracy > check.plain_accuracy + 0.02
