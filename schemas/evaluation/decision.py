"""How numbers become a decision: one rule, for whoever forms a verdict and for whoever reads one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from schemas.errors import UserError
from schemas.evaluation.eval_report import Interval

Decision = Literal["pass", "rejected", "inconclusive"]
_SEVERITY: tuple[Decision, ...] = ("pass", "inconclusive", "rejected")


def worst(decisions: Iterable[Decision]) -> Decision:
    """The gravest decision: one rejection rejects, and only passes pass.

    Raises:
        ValueError: there is none. `all(())` is true; a gate that checked nothing must not open.
    """
    return _SEVERITY[max(_SEVERITY.index(decision) for decision in decisions)]


def decide(interval: Interval, threshold: float) -> Decision:
    """Pass where the whole interval lies above the threshold, rejected where it lies below, else inconclusive.

    Raises:
        UserError: a value is not a number.
    """
    if not all(map(math.isfinite, (interval.low, interval.high, threshold))):
        raise UserError("a check met a value that is not a number", fix="evaluate again")
    if interval.low > threshold:
        return "pass"
    return "rejected" if interval.high < threshold else "inconclusive"


def decide_rate(rate: float, limit: float) -> Decision:
    """Pass where an observed rate is within its limit, else rejected."""
    return "pass" if rate <= limit else "rejected"
