"""Two one-sided t-tests (Schuirmann 1987) on paired log-ratios, and how many pairs they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from schemas.serving.overhead_report import OverheadVerdict

ALPHA = 0.05
POWER = 0.9


@dataclass(frozen=True)
class TostResult:
    """Two one-sided tests of one variant's time over another's."""

    ratio: float
    """Geometric mean."""
    low: float
    """Lower end of the 90 % interval of the ratio."""
    high: float
    """Upper end."""
    p_value: float
    """The larger of the two one-sided p-values."""
    noise: float
    """Standard deviation of the log-ratios."""
    verdict: OverheadVerdict
    """`equivalent`, `not_equivalent` or `inconclusive`, by the interval and the margin."""


def tost(log_ratios: Sequence[float], margin: float) -> TostResult:
    """Tests whether the mean log-ratio lies within +-log(1 + margin).

    Raises:
        ValueError: fewer than two pairs.
    """
    values = np.asarray(log_ratios, dtype=float)
    if len(values) < 2:
        raise ValueError("an interval needs at least two rounds")
    bound, degrees = math.log1p(margin), len(values) - 1
    mean, noise = float(values.mean()), float(values.std(ddof=1))
    error = noise / math.sqrt(len(values))
    reach = error * float(stats.t.ppf(1 - ALPHA, degrees))
    low, high = mean - reach, mean + reach
    return TostResult(
        math.exp(mean),
        math.exp(low),
        math.exp(high),
        _p_value(mean, error, bound, degrees),
        noise,
        _decide(low, high, bound),
    )


def rounds_needed(noise: float, margin: float, *, at_least: int = 4, at_most: int = 100_000) -> int:
    """Rounds with which TOST at 5 % finds two equal variants equivalent with 90 % probability.

    Args:
        noise: standard deviation of the control's log-ratio between rounds.
    """
    bound = math.log1p(margin)
    for rounds in range(at_least, at_most):
        quantiles = stats.t.ppf(1 - ALPHA, rounds - 1) + stats.t.ppf(1 - (1 - POWER) / 2, rounds - 1)
        if noise * quantiles / math.sqrt(rounds) <= bound:
            return rounds
    return at_most


def _p_value(mean: float, error: float, bound: float, degrees: int) -> float:
    if error == 0:
        return 0.0 if abs(mean) < bound else 1.0
    below = stats.t.sf((mean + bound) / error, degrees)
    above = stats.t.cdf((mean - bound) / error, degrees)
    return float(max(below, above))


def _decide(low: float, high: float, bound: float) -> OverheadVerdict:
    if -bound <= low and high <= bound:
        return "equivalent"
    if low > bound or high < -bound:
        return "not_equivalent"
    return "inconclusive"
