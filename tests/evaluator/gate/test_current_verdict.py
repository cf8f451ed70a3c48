"""A verdict speaks of the weights and the report it judged, and of no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluator.comparison.scored_run import read_evaluation
from evaluator.gate.current_verdict import current_verdict
from tests.evaluator.commands.test_gate import QUICKSTART, judge

Runs = dict[str, Path]


def test_the_verdict_on_this_report_is_found(runs: Runs) -> None:
    assert current_verdict(read_evaluation(runs["echo"], "quickstart")) is None
    judge(runs["echo"], runs["lora"], QUICKSTART)
    found = current_verdict(read_evaluation(runs["echo"], "quickstart"))
    assert found is not None
    assert found.decision == "pass"


def test_a_run_that_was_evaluated_again_has_no_verdict(runs: Runs, edit: Callable[..., None]) -> None:
    judge(runs["echo"], runs["lora"], QUICKSTART)
    edit(runs["echo"], lambda report: report.update(seconds=2.5))
    assert current_verdict(read_evaluation(runs["echo"], "quickstart")) is None


def test_a_verdict_that_cannot_be_read_is_none(runs: Runs) -> None:
    (runs["echo"] / "verdict.json").write_text("{")
    assert current_verdict(read_evaluation(runs["echo"], "quickstart")) is None
