"""What a study's summary says beside its own figures."""

from __future__ import annotations

from pathlib import Path

from schemas.studies.study_config import EarlierStudy, Expectation
from schemas.studies.study_report import StudyReport
from studies.analysis.summary import summary

RESULTS = Path(__file__).parents[3] / "configs" / "studies" / "results"


def test_published_accuracies_and_published_gains_stand_beside_what_was_found_here() -> None:
    report = StudyReport.read(RESULTS / "small" / "study_report.json")
    expectations = (
        Expectation(base="small", arm="lora", macro=0.763, source="their README"),
        Expectation(base="small", arm="echo_lora", over="lora", macro=0.03, source="their abstract"),
    )
    study = report.study.model_copy(update={"expectations": expectations})
    text = summary(report.model_copy(update={"study": study}))
    assert "- small lora: 73.0 here, 76.3 published (their README)" in text
    assert "- small echo_lora - lora: +1.6 here, +3.0 published (their abstract)" in text


def test_every_earlier_study_of_the_question_stands_with_its_looks() -> None:
    report = StudyReport.read(RESULTS / "small" / "study_report.json")
    history = (
        EarlierStudy(study="pilot", plan="eaecc1070d5b", looks=2, finding="inconclusive"),
        EarlierStudy(study="gain", plan="88e0a702915f", looks=1, finding="+0.7"),
    )
    text = summary(report.model_copy(update={"study": report.study.model_copy(update={"history": history})}))
    assert (
        "asked before, in 2 studies with 3 looks: pilot (`eaecc1070d5b`, 2): inconclusive; gain (`88e0a702915f`, 1)"
        in text
    )
    assert "asked before" not in summary(report)
