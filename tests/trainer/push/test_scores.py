"""Scores in a card are those of the run's own reports, or there are none."""

from __future__ import annotations

import pytest

from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport
from schemas.run_directory import RunDirectory
from tests.evaluator.scored_runs import edit_report
from trainer.push.scores import eval_results, read_reports


def test_each_task_is_a_result_with_its_items_and_its_interval(scored: RunDirectory) -> None:
    [(report, path)] = read_reports(scored, sha256_of(scored.manifest))
    results = list(eval_results(report, sha256_of(path)))
    assert [result.dataset_type for result in results] == ["a", "b"]
    score = report.tasks["a"].variants["adapter"]
    assert results[0].metric_value == pytest.approx(score.score, abs=1e-6)
    assert results[0].dataset_args == {
        "items": 40, "unparsed": 0, "interval_95": [round(score.interval.low, 6), round(score.interval.high, 6)],
        "report_sha256": sha256_of(path),
    }  # fmt: skip


def test_a_limited_report_says_so(scored: RunDirectory) -> None:
    report = EvalReport.read(scored.evaluation("quickstart") / "report.json").model_copy(update={"limit": 40})
    assert next(eval_results(report, "0" * 64)).dataset_name == "a (quickstart, first 40 items)"


def test_a_report_of_another_adapter_is_not_published(scored: RunDirectory) -> None:
    edit_report(scored.root, lambda data: data["adapter"].update(manifest_sha256="0" * 64))
    with pytest.raises(UserError, match="of another adapter"):
        read_reports(scored, sha256_of(scored.manifest))
