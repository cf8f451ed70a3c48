"""Takes turns: visits all arms in one order and then in the opposite one (ABBA), so that a machine that slowly warms up,
or slowly fills with other work, favours no arm; and compares the arms round by round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.errors import UserError
from schemas.storage.yaml_files import read_yaml
from schemas.training.training_bench import Arm, BenchConfig, Ratio
from trainer.bench.arms import TimedArm

Rounds = dict[Arm, list[list[float]]]
"""For each arm and round, the seconds of its timed steps."""


class Bar(NamedTuple):
    """A comparison, with the limit that its median must keep."""

    arm: Arm
    over: Arm
    at_most: float | None = None
    at_least: float | None = None


BARS = (
    Bar("echo_lora", "lora", at_most=1.12),
    Bar("echo_lora", "peft_lora", at_most=0.95),
    Bar("dora", "lora", at_most=1.15),
    Bar("peft_dora", "dora", at_least=1.5),
    Bar("echo_dora", "lora", at_most=1.30),
    Bar("echo_lora_two_pass", "lora"),
    Bar("echo_dora_two_pass", "lora"),
    Bar("peft_lora", "lora"),
)
MEMORY_BARS = (Bar("echo_lora", "lora", at_most=1.15), Bar("echo_dora", "dora"), Bar("lora", "peft_lora"))


def take_turns(
    arms: Mapping[Arm, TimedArm], rounds: int, steps: int, report: Callable[[Arm], None] = lambda arm: None
) -> Rounds:
    """Times all arms.

    Args:
        arms: what to time.
        rounds: ABBA rounds; each visits every arm twice.
        steps: timed steps of a visit.
        report: is told of each visit before it begins.
    """
    seconds: Rounds = {arm: [] for arm in arms}
    for _ in range(rounds):
        taken: dict[Arm, list[float]] = {arm: [] for arm in arms}
        for arm in (*arms, *reversed(list(arms))):
            report(arm)
            taken[arm] += arms[arm].visit(steps)
        for arm, times in taken.items():
            seconds[arm].append(times)
    return seconds


def ratio(seconds: Rounds, bar: Bar) -> Ratio:
    """One comparison of mean step times, round by round."""
    pairs = zip(seconds[bar.arm], seconds[bar.over], strict=True)
    rounds = tuple(statistics.mean(arm) / statistics.mean(over) for arm, over in pairs)
    low, high = quartiles(rounds)
    return Ratio(
        arm=bar.arm,
        over=bar.over,
        median=statistics.median(rounds),
        low=low,
        high=high,
        rounds=rounds,
        at_most=bar.at_most,
        at_least=bar.at_least,
    )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third; of a single value, itself."""
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def ratios(seconds: Rounds) -> list[Ratio]:
    """All comparisons whose two arms were timed."""
    return [ratio(seconds, bar) for bar in BARS if bar.arm in seconds and bar.over in seconds]


def memory_ratios(memory: Mapping[Arm, int]) -> list[Ratio]:
    """The comparisons of peak memory; each was measured once."""
    found = []
    for bar in MEMORY_BARS:
        if memory.get(bar.arm) and memory.get(bar.over):
            value = memory[bar.arm] / memory[bar.over]
            limits = {"at_most": bar.at_most, "at_least": bar.at_least}
            found.append(
                Ratio(
                    arm=bar.arm, over=bar.over, quantity="memory", median=value, low=value, high=value,
                    rounds=(value,), **limits,
                )
            )  # fmt: skip
    return found


def peak_memory(arm: Arm, config: Path) -> int:
    """Bytes at the peak of a few steps of one arm, in a process of its own (trainer/bench/memory.py).

    Blocks of a megabyte and more go back to the system when freed, so that the peak is what is in use at once.
    """
    command = [sys.executable, "-m", "trainer.bench.memory", str(config), arm]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it was killed"]
        raise UserError(
            f"the memory of {arm} could not be measured: {lines[-1]}",
            where="python -m trainer.bench.memory",
            fix="--no-memory leaves it out; a smaller model or batch needs less",
        )
    return int(json.loads(done.stdout.splitlines()[-1])["peak_memory_bytes"])


def read_config(path: Path) -> BenchConfig:
    """A bench config from YAML.

    Raises:
        UserError: the file cannot be read, or fields are faulty.
    """
    return BenchConfig.parse(read_yaml(path, "bench config"), where=path)
