"""A study's directory is read once everything in it is what was planned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.studies.study_plan import ChosenRates, StudyPlan
from studies.analysis.results import read_results
from tests.studies.analysis.study_results import OLD


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A study that was registered, its rates chosen, and nothing trained."""
    results = Path(__file__).parents[3] / "configs" / "studies" / "results" / "repeat"
    shutil.copy(results / "study_plan.json", tmp_path)
    plan = StudyPlan.read(tmp_path / "study_plan.json")
    ChosenRates(protocol_sha256=plan.protocol_sha256, rates=()).write(tmp_path / "learning_rates.json")
    return tmp_path


def test_a_study_is_not_analysed_while_it_runs(directory: Path) -> None:
    with pytest.raises(UserError, match=r"of \d+ runs are not finished: small\.lora\.seed") as caught:
        read_results(directory)
    assert "runs what is missing" in str(caught.value)


def test_rates_of_another_plan_are_refused(directory: Path) -> None:
    rates = ChosenRates.read(directory / "learning_rates.json")
    rates.model_copy(update={"protocol_sha256": "0" * 64}).write(directory / "learning_rates.json")
    with pytest.raises(UserError, match="chosen under another plan"):
        read_results(directory)


def test_a_directory_without_a_plan_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study plan found"):
        read_results(tmp_path)


def test_a_plan_that_was_edited_is_refused(directory: Path) -> None:
    text = (OLD / "study_plan-1.json").read_text()
    (directory / "study_plan.json").write_text(text.replace('"echo_gain"', '"other_gain"'))
    with pytest.raises(UserError, match="edited by hand"):
        read_results(directory)
