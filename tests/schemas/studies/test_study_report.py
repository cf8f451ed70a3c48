"""Every kept result is read, and speaks of its plan."""

from pathlib import Path

import pytest

from schemas.studies.study_plan import StudyPlan
from schemas.studies.study_report import StudyReport

RESULTS = sorted(path.parent for path in Path("configs/studies/results").glob("*/study_report.json"))


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.name)
def test_a_kept_report_is_of_the_plan_beside_it(result):
    report, plan = StudyReport.read(result / "study_report.json"), StudyPlan.read(result / "study_plan.json")
    assert report.protocol_sha256 == plan.protocol_sha256
    assert set(report.study.arms) == {one.arm for one in report.arms}
    assert (result / "summary.md").read_text().startswith(f"# Study: {report.study.name}")


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.name)
def test_a_finding_is_one_of_three_and_fits_its_interval(result):
    for one in StudyReport.read(result / "study_report.json").contrasts:
        assert one.finding in ("different", "equivalent", "inconclusive")
        assert one.macro.interval.low <= one.macro.estimate <= one.macro.interval.high
