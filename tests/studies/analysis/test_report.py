"""From verified runs to the report: every figure is that of the runs it names."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest

from schemas.studies.study_report import StudyReport
from studies.analysis.results import Results


def test_an_arm_s_mean_and_spread_are_those_of_its_seeds(results: Results, report: StudyReport) -> None:
    lora = next(one for one in report.arms if one.arm == "lora")
    macros = [run.scored_run.evaluation.report.macro["adapter"] for run in results.runs["small", "lora"].values()]
    assert (lora.mean, lora.deviation) == (pytest.approx(fmean(macros)), pytest.approx(stdev(macros)))
    assert list(lora.scores.values()) == macros


def test_the_better_arm_is_found_better_with_the_difference_by_seed(report: StudyReport) -> None:
    (gain,) = report.contrasts
    assert (gain.candidate, gain.baseline, gain.finding) == ("echo_lora", "lora", "different")
    assert gain.macro.estimate == pytest.approx(fmean(gain.by_seed.values()))
    assert gain.sentence.startswith("better: +")


def test_every_run_is_named_with_its_report_and_its_adapter(results: Results, report: StudyReport) -> None:
    names = {run.manifest.name for by_seed in results.runs.values() for run in by_seed.values()}
    assert set(report.reports_sha256) == set(report.adapters_sha256) == names
    assert report.protocol_sha256 == results.plan.protocol.sha256()


def test_the_base_stands_beside_the_arms_with_its_items_and_floors(report: StudyReport) -> None:
    (base,) = report.bases
    assert base.items == {"boolq": 300, "piqa": 300}
    assert base.floors == {"boolq": 0.5, "piqa": 0.5}
    assert base.macro < min(one.mean for one in report.arms)
