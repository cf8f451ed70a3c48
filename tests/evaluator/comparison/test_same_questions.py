"""Several scorings of one answer are one piece of evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluator.comparison.paired import Resampling, compare_pair
from evaluator.comparison.pairing import adapter_of
from evaluator.comparison.same_questions import task_sets
from evaluator.comparison.scored_run import read_evaluation
from schemas.document import sha256_of
from tests.evaluator.scored_runs import draw, edit_report

OUTCOMES = {"base": draw(0.5, 200, 1), "adapter": draw(0.7, 200, 2)}


def twice_scored(evaluation: Callable[..., Path], run: Path, outcomes: dict[str, np.ndarray]) -> Path:
    """A run on two tasks that ask the same, the second counted by another metric."""
    evaluation(run, {"first": outcomes, "second": outcomes})
    path = run / "evaluation/quickstart/samples.jsonl"
    path.write_text(path.read_text().replace("of second:", "of first:"))

    def second_by_f1(data: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]) -> None:
        for score in data["tasks"]["second"]["variants"].values():
            score["metric"] = "f1"  # type: ignore[assignment]

    edit_report(run, second_by_f1)
    assert json.loads(path.with_name("report.json").read_text())["samples_sha256"] == sha256_of(path)
    return run


def test_two_scorings_of_the_same_answers_are_no_more_certain_than_one(
    evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    run = adapter_of(read_evaluation(twice_scored(evaluation, tmp_path / "one", OUTCOMES), "quickstart"))
    other = {"base": OUTCOMES["base"], "adapter": draw(0.6, 200, 3)}
    baseline = adapter_of(read_evaluation(twice_scored(evaluation, tmp_path / "two", other), "quickstart"))
    result = compare_pair([run], [baseline], Resampling(resamples=4000))
    assert task_sets(run, result.tasks) == [["first", "second"]]
    assert result.macro.standard_error == pytest.approx(result.tasks["first"].distribution.standard_error, rel=0.05)


def test_tasks_of_their_own_questions_stay_apart(evaluation: Callable[..., Path], tmp_path: Path) -> None:
    run = evaluation(tmp_path / "one", {"first": OUTCOMES, "second": OUTCOMES})
    scored = adapter_of(read_evaluation(run, "quickstart"))
    assert task_sets(scored, ["first", "second"]) == [["first"], ["second"]]
