"""Turns cancel a machine that slows down; ratios are taken round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from schemas.training.training_bench import Arm, Workload
from trainer.bench.abba import Bar, memory_ratios, ratio, read_config, take_turns


class _Recorder:
    """An arm that notes its turns; each step takes as long as the machine then is slow."""

    def __init__(self, name: str, turns: list[str], cost: float) -> None:
        self.name, self.turns, self.cost = name, turns, cost

    def visit(self, steps: int) -> list[float]:
        self.turns.append(self.name)
        return [self.cost * len(self.turns)] * steps

    def use(self, workload: Workload) -> None: ...


def test_turns_are_abba_and_cancel_a_machine_that_slows_down() -> None:
    turns: list[str] = []
    arms: dict[Arm, Any] = {"lora": _Recorder("lora", turns, 1.0), "echo_lora": _Recorder("echo_lora", turns, 1.1)}
    seconds = take_turns(arms, rounds=2, steps=3)
    assert turns == ["lora", "echo_lora", "echo_lora", "lora"] * 2
    found = ratio(seconds, Bar("echo_lora", "lora", at_most=1.12))
    assert found.rounds == pytest.approx((1.1, 1.1))
    assert found.met
    assert not ratio(seconds, Bar("echo_lora", "lora", at_most=1.05)).met
    assert ratio(seconds, Bar("echo_lora", "lora")).met is None


def test_memory_is_compared_where_it_was_measured() -> None:
    assert [(r.arm, r.over, r.median, r.met) for r in memory_ratios({"lora": 100, "echo_lora": 114})] == [
        ("echo_lora", "lora", 1.14, True)
    ]


def test_a_bench_config_with_a_mistyped_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("workload: {batchsize: 4}")
    with pytest.raises(UserError, match=r"workload\.batchsize: unknown key"):
        read_config(path)
    with pytest.raises(UserError, match="no bench config found"):
        read_config(tmp_path / "nowhere.yaml")
