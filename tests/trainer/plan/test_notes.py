from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import UserError
from schemas.training.train_config import BaseModelConfig, EchoConfig, TrainConfig
from trainer.plan.notes import config_notes, refuse_idle


def config(**training: Any) -> TrainConfig:
    data = {"name": "x", "method": "lora", "base": {"model": "x"}, "data": {"train": ["x.json"], "max_length": 4096}}
    return TrainConfig.parse({**data, "training": training}, where="")


def test_a_warm_up_that_outlasts_the_run_is_said_with_what_the_rate_reaches() -> None:
    [note] = config_notes(config(warmup_steps=100), total=9, window=None)
    assert "warm-up of 100 steps outlasts the run of 9" in note
    assert "8% of what was asked" in note
    assert config_notes(config(warmup_steps=8), total=9, window=None) == []


def test_examples_longer_than_the_bases_window_are_said_to_be_left_out() -> None:
    [note] = config_notes(config(warmup_steps=0), total=9, window=512)
    assert "window is 512 tokens" in note
    assert config_notes(config(warmup_steps=0), total=9, window=4096) == []


def test_an_attention_with_which_the_echo_costs_a_whole_pass_is_said() -> None:
    flash, sdpa = (
        config(warmup_steps=0).model_copy(
            update={
                "method": "echo_lora",
                "echo": EchoConfig(),
                "base": BaseModelConfig(model="x", attention=attention),
            }
        )
        for attention in ("flash_attention_2", "sdpa")
    )
    [note] = config_notes(flash, total=9, window=None)
    assert "runs every sample twice" in note
    assert config_notes(sdpa, total=9, window=None) == []


def test_float16_is_said_to_lose_small_gradients() -> None:
    half = config(warmup_steps=0).model_copy(update={"base": BaseModelConfig(model="x", dtype="float16")})
    assert "become zero" in config_notes(half, total=9, window=None)[0]


@pytest.mark.parametrize(
    ("total", "training"), [(1, {"warmup_steps": 1}), (1, {"warmup_steps": 100}), (9, {"learning_rate": 1e-300})]
)
def test_a_run_that_could_learn_nothing_is_refused(total: int, training: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="nothing would be learned"):
        refuse_idle(config(**training), total=total)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (2, 100), (3, 2)])
def test_a_run_with_one_step_that_moves_is_none_of_these(schedule: str, total: int, warmup: int) -> None:
    refuse_idle(config(schedule=schedule, warmup_steps=warmup), total=total)
