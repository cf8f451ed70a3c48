"""The overhead proof on paper: candidate and control against the same baseline."""

import json
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.serving.overhead_report import OverheadReport

MEASURED = Path("configs/bench/results/two_x86_cores/serving/report.json")


def test_what_was_measured_is_read_with_its_rounds():
    report = OverheadReport.read(MEASURED)
    assert report.verdict == "equivalent"
    assert all(len(test.rounds) == report.load.rounds for test in report.tests)
    assert {test.variant for test in report.tests} == {"candidate", "control"}


def test_an_interval_s_end_that_is_no_number_is_refused():
    data = json.loads(OverheadReport.read(MEASURED).to_json())
    data["tests"][0]["low"] = None
    with pytest.raises(UserError, match=r"tests\.0\.low"):
        OverheadReport.parse(data, where=MEASURED)
