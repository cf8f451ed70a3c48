"""The resampling distribution of a mean and of a macro average: items or clusters by bootstrap, seeds by Student's t.

Legend: N items of a task, C clusters (N where items stand alone), K distinct clusters, R resamples.

A resample of C clusters with replacement depends on the clusters only through how often each distinct (sum, size) is
drawn, and those counts are multinomial. Drawing the counts is the ordinary cluster bootstrap exactly, at a price of R x K
rather than R x N: with one binary difference per item, K is three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.errors import UserError
from schemas.evaluation.eval_report import Interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """What repeating the measurement would have given."""

    estimate: float
    """The observed value."""
    draws: Array
    """[R] resampled values."""
    standard_error: float
    """Spread of the resampled values, by formula where seeds are few and draws have heavy tails."""

    def interval(self, confidence: float) -> Interval:
        """Two-sided percentile interval.

        Percentile, not BCa: the statistic is a sum of bounded terms, so bias and acceleration are nearly nil; BCa's
        bias term is ill defined on a lattice full of ties; and `tests/evaluator/comparison/test_bootstrap.py` measures the coverage.
        """
        low, high = np.quantile(self.draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(low=min(float(low), self.estimate), high=max(float(high), self.estimate), level=confidence)

    def p_value(self) -> float:
        """Two-sided p-value of "the true value is zero", never smaller than the resamples can tell."""
        resamples = len(self.draws)
        below, above = np.count_nonzero(self.draws <= 0), np.count_nonzero(self.draws >= 0)
        return float(min(1.0, 2 * (min(below, above) + 1) / (resamples + 1)))


def resample_mean(
    values: Array,
    clusters: Sequence[object],
    *,
    bounds: tuple[float, float],
    resamples: int,
    generator: np.random.Generator,
) -> Distribution:
    """Bootstrap distribution of the mean of one task's values.

    Args:
        values: [N] one value per item.
        clusters: [N] label of each item's cluster.
        bounds: least and greatest possible value. One pseudo-item of each is put among the clusters (for binary
            differences this is the adjustment of Bonett and Price, 2012): two adapters that agree on all of 20 items have
            not been shown to agree to within zero. The pseudo-items widen the distribution and do not move it, since a
            shift toward zero would add up over tasks while the interval of their average narrows.
        resamples: R.
        generator: source of randomness.
    """
    patterns, counts = cluster_patterns(values, clusters)
    if counts.sum() == 1:
        return _nothing_known(float(values.mean()), bounds, resamples, generator)
    patterns = np.concatenate([patterns, [[bound, 1.0] for bound in bounds]])
    weights = np.concatenate([counts, np.ones(len(bounds))])
    total = int(weights.sum())
    drawn = generator.multinomial(total, weights / total, size=resamples)  # [R, K]
    means = (drawn @ patterns[:, 0]) / (drawn @ patterns[:, 1])
    estimate, units = float(values.mean()), float(counts.sum())
    # Stretching about the middle of the bounds undoes the pseudo-items' pull and keeps a resampled tie at zero: a shift
    # would lift it to one side, and equal adapters would then differ in 6 % of trials instead of 5.
    middle, stretch = sum(bounds) / 2, (weights @ patterns[:, 1]) / len(values)
    means = middle + (means - middle) * stretch
    # A bootstrap of C units has (C - 1) / C of the variance; this matters where a task has few clusters.
    draws = estimate + (means - estimate) * math.sqrt(units / max(units - 1, 1.0))
    return Distribution(estimate, draws.clip(*bounds), float(draws.std()))


def require_scores(task: str, values: Array) -> None:
    """Refuses a task that nothing can be learned from.

    Raises:
        UserError: the task is empty, or a value is not a number.
    """
    if not len(values):
        raise UserError(f"the task {task} has no items", where=task, fix="evaluate again")
    if not np.isfinite(values).all():
        raise UserError(f"the task {task} holds a score that is not a number", where=task, fix="evaluate again")


def _nothing_known(
    estimate: float, bounds: tuple[float, float], resamples: int, generator: np.random.Generator
) -> Distribution:
    """One cluster has nothing beside it to vary with: how another would have come out could be anything."""
    draws = generator.choice(np.array(bounds), size=resamples)
    return Distribution(estimate, draws, (bounds[1] - bounds[0]) / 2)


def cluster_patterns(values: Array, clusters: Sequence[object]) -> tuple[Array, Array]:
    """The distinct clusters: [K, 2] (sum of values, items) and [K] how many clusters look so."""
    numbers: dict[object, int] = {}
    labels = np.array([numbers.setdefault(label, len(numbers)) for label in clusters])
    sums = np.bincount(labels, weights=values)
    sizes = np.bincount(labels).astype(np.float64)
    # Means over seeds are binary fractions or thirds; rounding joins sums that differ only by floating point.
    patterns, counts = np.unique(np.column_stack([sums.round(9), sizes]), axis=0, return_counts=True)
    return patterns, counts.astype(np.float64)


def macro_average(tasks: Sequence[Distribution], weights: Sequence[float] | None = None) -> Distribution:
    """Mean of tasks resampled independently of each other, that is, stratified by task; without weights all count alike."""
    weights = None if weights is None or len(set(weights)) == 1 else weights
    draws = np.average([task.draws for task in tasks], axis=0, weights=weights)
    estimate = float(np.average([task.estimate for task in tasks], weights=weights))
    return Distribution(estimate, draws, float(draws.std()))


@dataclass(frozen=True)
class SeedNoise:
    """The level above the items: training again with another seed.

    Resampling three seeds with replacement covers far less than it says (variance short by a third, tails of a normal).
    The seed level is therefore drawn from Student's t with the pooled variance of both seed groups: the parametric counterpart
    of the hierarchical bootstrap (Davison and Hinkley, 1997, section 3.8), exact for normal seed effects.
    """

    standard_error: float
    """Of the difference of the groups' means."""
    degrees: int
    """Degrees of freedom of the pooled variance."""

    @classmethod
    def between(cls, groups: Sequence[Sequence[float]]) -> SeedNoise | None:
        """From each seed group's score per seed; an untrained group (the base) is left out by the caller.

        None where no group has two seeds: then nothing is known about seeds.
        """
        degrees = sum(len(group) - 1 for group in groups)
        if degrees == 0:
            return None
        variance = sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in groups if len(group) > 1) / degrees
        return cls(math.sqrt(variance * sum(1 / len(group) for group in groups)), degrees)

    def widen(self, distribution: Distribution, student: Array) -> Distribution:
        """Adds the seed level to an item-level distribution; `student` is [R] draws of Student's t."""
        spread = math.hypot(distribution.standard_error, self.standard_error)
        return Distribution(distribution.estimate, distribution.draws + self.standard_error * student, spread)
