"""Repeated runs, on the committed report of a real study."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.studies.study_report import StudyReport
from studies.analysis.repetition import repeated_runs

HASH, OTHER_HASH = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def report() -> StudyReport:
    results = Path(__file__).parents[3] / "configs" / "studies" / "results"
    found = StudyReport.read(results / "small" / "study_report.json")
    return found.model_copy(update={"adapters_sha256": dict.fromkeys(found.reports_sha256, HASH)})


def only(report: StudyReport, arm: str, seeds: tuple[str, ...]) -> StudyReport:
    """The report as if it had that arm and those seeds alone."""
    outcome = next(one for one in report.arms if one.arm == arm)
    scores = {seed: outcome.scores[seed] for seed in seeds}
    return report.model_copy(update={"arms": (outcome.model_copy(update={"scores": scores}),)})


def test_the_runs_that_both_have_are_found_and_are_the_same(report: StudyReport) -> None:
    found = repeated_runs(only(report, "echo_lora", ("10", "11")), report)
    assert [(one.arm, one.seed, one.same_adapter) for one in found] == [
        ("echo_lora", "10", True),
        ("echo_lora", "11", True),
    ]
    assert all(one.now == one.earlier for one in found)


def test_another_adapter_is_told_with_both_scores(report: StudyReport) -> None:
    repetition = only(report, "lora", ("10",))
    scores = {"10": repetition.arms[0].scores["10"] + 0.01}
    repetition = repetition.model_copy(
        update={
            "arms": (repetition.arms[0].model_copy(update={"scores": scores}),),
            "adapters_sha256": {"small.lora.seed10": OTHER_HASH},
        }
    )
    (found,) = repeated_runs(repetition, report)
    assert found.same_adapter is False
    assert found.now - found.earlier == pytest.approx(0.01)


def test_an_earlier_report_without_hashes_is_compared_by_score(report: StudyReport) -> None:
    old = report.model_copy(update={"adapters_sha256": {}})
    assert {one.same_adapter for one in repeated_runs(report, old)} == {None}


def test_what_cannot_be_a_repetition_is_refused_by_its_reason(report: StudyReport) -> None:
    fresh = only(report, "lora", ("10",))
    fresh = fresh.model_copy(update={"arms": (fresh.arms[0].model_copy(update={"scores": {"99": 0.5}}),)})
    faster = fresh.model_copy(update={"arms": (fresh.arms[0].model_copy(update={"learning_rate": 1.0}),)})
    heavier = report.model_copy(
        update={"bases": tuple(base.model_copy(update={"weights_sha256": HASH}) for base in report.bases)}
    )
    examined = report.model_copy(update={"documents_sha256": dict.fromkeys(report.documents_sha256, HASH)})
    for repetition, reason in [
        (fresh, "no run in common"),
        (faster, "trained at 1"),
        (heavier, "other weights"),
        (examined, "different test items"),
    ]:
        with pytest.raises(UserError, match=reason):
            repeated_runs(repetition, report)
