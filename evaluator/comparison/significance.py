"""Tests and intervals for binary answers. scipy does the arithmetic wherever it knows the test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest, norm

from evaluator.comparison.bootstrap import Distribution


def mcnemar_exact(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test: under no difference, each discordant item falls either way with probability 1/2.

    Without discordant items there is no evidence of a difference, and the p-value is 1 (McNemar, 1947).
    """
    discordant = fixed + broken
    return 1.0 if discordant == 0 else float(binomtest(fixed, discordant, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment: family-wise error under control whatever the dependence (Holm, 1979).

    Raises:
        ValueError: the family is empty or holds a NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0 or np.isnan(p).any():
        raise ValueError("Holm's adjustment needs p-values, none of them NaN")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(float(value) for value in adjusted)


def minimum_detectable_effect(distribution: Distribution, confidence: float, power: float = 0.8) -> float:
    """The true difference that an interval of this width would clear of zero with the given power.

    Half the interval plus the power's quantile of the standard error: for a normal distribution at 95 % and 80 %, the
    familiar 2.8 standard errors. Never above 1, the largest difference there can be.
    """
    interval = distribution.interval(confidence)
    return min(1.0, (interval.high - interval.low) / 2 + float(norm.ppf(power)) * distribution.standard_error)
