"""What the bench measures, and when a bar is met."""

import pytest

from schemas.errors import UserError
from schemas.training.training_bench import BenchConfig, BenchReport, Ratio

RATIO = {"arm": "echo_lora", "over": "lora", "median": 1.1, "low": 1.0, "high": 1.2, "rounds": (1.0, 1.1, 1.2)}


def test_a_bar_is_met_by_the_median_and_without_a_bar_there_is_nothing_to_meet():
    assert Ratio(**RATIO).met is None
    assert Ratio(**RATIO, at_most=1.1).met is True
    assert Ratio(**RATIO, at_most=1.09).met is False
    assert Ratio(**RATIO, at_least=1.2).met is False


def test_an_empty_range_of_lengths_is_refused():
    with pytest.raises(UserError, match="range 20 to 10 is empty"):
        BenchConfig.parse({"workload": {"prompt_tokens": [20, 10]}}, where="here")


def test_the_echo_of_a_bench_runs_in_every_step():
    assert BenchConfig().echo.routing.start == BenchConfig().echo.routing.end == 1.0


@pytest.mark.parametrize("place", ["", "lengths/", "shares/"])
def test_what_was_measured_is_read(place):
    from pathlib import Path

    report = BenchReport.read(Path(f"configs/bench/results/two_x86_cores/{place}bench.json"))
    assert {one.arm for one in report.arms} <= set(report.config.arms)
