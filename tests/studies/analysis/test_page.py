"""The study as a page: headline, heat map, every plot, nothing fetched."""

from __future__ import annotations

from schemas.studies.study_report import StudyReport
from studies.analysis.page import curves_of, headline, heat_map, study_page
from studies.analysis.results import Results


def test_the_page_holds_the_findings_and_fetches_nothing(report: StudyReport, results: Results) -> None:
    text = study_page(report, curves_of(results))
    assert report.contrasts[0].sentence in text
    assert text.count("<svg") == 2  # no metrics, so no learning curves
    assert "default-src 'none'" in text
    assert "://" not in text.replace("http://www.w3.org", "")


def test_the_headline_says_each_contrast_in_a_sentence(report: StudyReport) -> None:
    assert headline(report) == f"echo_lora against lora: {report.contrasts[0].sentence}."


def test_the_heat_map_colours_between_the_lowest_and_the_highest_arm(report: StudyReport) -> None:
    base, *arms = heat_map(report)
    assert base.label == "small (no adapter)"
    assert {strength for row in arms for _, strength in row.cells} == {0, 100}
