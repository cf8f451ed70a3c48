"""python -m studies analyse: what it prints, and what it wants to be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from schemas.errors import UserError
from schemas.studies.study_report import StudyReport
from studies.analysis.command import findings_table, main


def test_the_power_of_a_design_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--power", "--seeds", "5", "--seed-deviation", "0.02", "--item-error", "0.004"]) == 0
    assert "points with 5 seeds at 80% power" in capsys.readouterr().out


def test_a_study_must_be_named() -> None:
    with pytest.raises(UserError, match="no study was named"):
        main([])


def test_a_directory_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study plan found"):
        main([str(tmp_path)])


def test_every_contrast_is_a_row_with_its_finding(report: StudyReport, capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=200).print(findings_table(report))
    text = capsys.readouterr().out
    assert "echo_lora - lora" in text
    assert report.contrasts[0].sentence in text
