"""What the analysis' tests share: one finished study and its report."""

from __future__ import annotations

import pytest

from schemas.studies.study_report import StudyReport
from studies.analysis.report import study_report
from studies.analysis.results import Results
from tests.studies.analysis.study_results import finished_study


@pytest.fixture(scope="package")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study whose second arm is clearly better."""
    return finished_study(tmp_path_factory.mktemp("finished"), gain=0.4)


@pytest.fixture(scope="package")
def report(results: Results) -> StudyReport:
    """Its report."""
    return study_report(results)
