from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoTokenizer

from schemas.base.find_base import find_base
from schemas.errors import Diverged
from schemas.training.train_config import TrainConfig
from trainer.data.dataloader import StepBatches
from trainer.data.dataset import load_training_data
from trainer.echo.objective import build_objective
from trainer.echo.routing import draw_routes
from trainer.loop.optimizer import make_optimizer, trainable_parameters
from trainer.loop.step import Loop
from trainer.model.base_model import load_base
from trainer.model.peft_adapter import attach_adapter


def make_loop(config: TrainConfig) -> Loop:
    accelerator = Accelerator(cpu=True)
    tokenizer = AutoTokenizer.from_pretrained(config.base.model)
    data = load_training_data(config, tokenizer, quiet=True)
    model = attach_adapter(load_base(find_base(config.base.model), config.base, accelerator.device), config)
    objective = build_objective(model, config).train()
    return Loop(
        objective=objective,
        prepared=objective,
        optimizer=make_optimizer(trainable_parameters(objective), config),
        batches=StepBatches(data.train, config, tokenizer.pad_token_id),
        config=config,
        accelerator=accelerator,
        total=6,
        routes=draw_routes(config.seed, 6, config.echo_path.routing) if config.echo_path else None,
    )


@pytest.fixture
def loop(tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType) -> Any:
    """Makes loops over answers of very unequal length, so that a mean of means would show."""
    unequal = [{**record, "output": record["output"] + " indeed" * (i % 7)} for i, record in enumerate(records)]

    def make(**changes: Any) -> Loop:
        return make_loop(training_runs.make_config(tmp_path, tiny_base, unequal, **changes))

    return make


def parameters(loop: Loop, part: str) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainable_parameters(loop.objective)[part].values()]


@pytest.mark.parametrize("method", ["lora", "dora", "echo_lora", "echo_dora"])
@pytest.mark.parametrize("by_length", [True, False])
def test_accumulation_takes_the_same_steps_as_one_batch(loop: Any, method: str, by_length: bool) -> None:
    """1 x 16 and 4 x 4, with answers of unequal length in tokens and r_k drawn per step (traps 4)."""
    same = {
        "method": method,
        "adapter__dropout": 0.0,
        "training__batch_size": 16,
        "training__group_by_length": by_length,
    }
    whole, parts = loop(**same), loop(**same, training__micro_batch_size=4)
    for step in range(3):
        one, four = whole.take(step), parts.take(step)
        assert one.echo_on == four.echo_on
        assert four.loss == pytest.approx(one.loss, rel=1e-5)
        assert four.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
    # AdamW makes a step of the full rate out of a gradient that is nothing but rounding; a twentieth of one passes.
    rate = whole.config.training.rate_of(method)
    for ours, theirs in zip(parameters(whole, "adapter"), parameters(parts, "adapter"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0.05 * rate)


def test_a_step_without_echo_leaves_the_echo_parameters_alone(loop: Any) -> None:
    """Momentum and weight decay would both move them (trap 3)."""
    loop = loop(method="echo_lora", training__weight_decay=0.1)
    reports, moved = [], []
    for step in range(6):
        before = parameters(loop, "echo")
        reports.append(loop.take(step))
        after = parameters(loop, "echo")
        moved.append(any(not torch.equal(old, new) for old, new in zip(before, after, strict=True)))
    drawn = [report.echo_on for report in reports]
    assert {True, False} <= set(drawn[1:])
    assert moved[1:] == drawn[1:]  # the first step's learning rate is zero


def test_the_echo_learns_at_its_own_rate(loop: Any) -> None:
    loop = loop(method="echo_lora", echo__learning_rate=0.5)
    assert [group["peak"] for group in loop.optimizer.param_groups] == [1e-2, 0.5]


def test_a_step_leaves_doras_norms_those_of_its_new_weights(loop: Any) -> None:
    loop = loop(method="echo_dora")
    for step in range(3):
        loop.take(step)
        norms = loop.objective.row_norms.current()
        for adapted in loop.objective.paths.adapted:
            module = adapted.module
            update = module.lora_B["default"].weight @ module.lora_A["default"].weight * module.scaling["default"]
            exact = (module.get_base_layer().weight + update).norm(dim=1)
            torch.testing.assert_close(norms[adapted.name], exact.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(loop: Any, value: float) -> None:
    loop = loop()
    loop.take(0)
    before = parameters(loop, "adapter")
    with torch.no_grad():
        loop.objective.model.get_base_model().lm_head.weight[0, 0] = value
    with pytest.raises(Diverged, match="not finite at step 2"):
        loop.take(1)
    assert all(torch.equal(old, new) for old, new in zip(before, parameters(loop, "adapter"), strict=True))
