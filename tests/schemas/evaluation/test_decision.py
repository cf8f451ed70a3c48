"""From an interval to a decision: the same rule for whoever forms a verdict and for whoever reads one."""

import math

import pytest

from schemas.errors import UserError
from schemas.evaluation.decision import decide, decide_rate, worst
from schemas.evaluation.eval_report import Interval


def interval(low, high):
    return Interval(low=low, high=high, level=0.95)


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [(0.01, 0.03, "pass"), (-0.03, -0.01, "rejected"), (-0.01, 0.01, "inconclusive"), (0.0, 0.02, "inconclusive")],
)
def test_the_whole_interval_must_lie_on_one_side(low, high, decision):
    assert decide(interval(low, high), 0.0) == decision


def test_a_threshold_that_is_no_number_decides_nothing():
    with pytest.raises(UserError, match="not a number"):
        decide(interval(0.1, 0.2), math.nan)


def test_a_rate_at_its_limit_is_within_it():
    assert (decide_rate(0.05, 0.05), decide_rate(0.0501, 0.05)) == ("pass", "rejected")


def test_one_rejection_rejects_and_only_passes_pass():
    assert worst(["pass", "inconclusive", "rejected"]) == "rejected"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["pass", "pass"]) == "pass"


def test_a_gate_that_checked_nothing_does_not_open():
    with pytest.raises(ValueError, match="empty"):
        worst([])
