"""The verdict on the terminal: figures as people write them, and of many tasks the one nearest to failing."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from evaluator.gate.table import p_text, points, print_verdict, summaries
from schemas.evaluation.eval_report import Interval
from schemas.evaluation.verdict import Difference, Verdict
from tests.evaluator.commands.test_gate import QUICKSTART, judge

Runs = dict[str, Path]


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    interval = Interval(low=-0.0053, high=0.0051, level=0.95)
    tiny = Difference(
        estimate=-0.00004, standard_error=0.0026, interval=interval, p_value=0.99, minimum_detectable_effect=0.007
    )
    assert points(tiny) == "+0.0 [-0.5, +0.5]"


def test_a_small_p_value_has_no_digits_to_believe_in() -> None:
    assert [p_text(value) for value in (0.5, 0.0321, 0.00011, 0.00009)] == ["0.5", "0.032", "0.00011", "< 0.0001"]


def test_of_many_tasks_the_one_nearest_to_failing_speaks(runs: Runs) -> None:
    judge(runs["worse"], runs["lora"], QUICKSTART)
    rows = list(summaries(Verdict.read(runs["worse"] / "verdict.json").checks))
    assert [kind for _, kind, _, _ in rows] == ["superiority", "non-inferiority", "floor", "unparsed"]
    assert "(2 of 2 so, this one by the least)" in rows[3][3]


def test_the_decision_stands_last_and_the_tables_fit_80_columns(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    judge(runs["worse"], runs["lora"], QUICKSTART)
    capsys.readouterr()
    print_verdict(Verdict.read(runs["worse"] / "verdict.json"), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("rejected: Non-inferiority fails") for line in lines[-4:])
