"""Counts, scores and intervals of one task, from its samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.stats import binomtest

from evaluator.comparison.bootstrap import resample_mean
from schemas.evaluation.eval_report import Interval, Sample, TaskRecord, TaskScore, Variant


def score_task(metric: str, samples: Sequence[Sample], secondary: Mapping[str, float]) -> TaskScore:
    """The counts of the outcomes, the mean score with its standard error, and its interval."""
    counts = Counter(sample.outcome for sample in samples)
    total, correct, partial = len(samples), counts["correct"], counts["partial"]
    values = [sample.value for sample in samples]
    score = math.fsum(values) / total
    # Of binary values this is the binomial p (1 - p) / n.
    error = math.sqrt(math.fsum((value - score) ** 2 for value in values)) / total
    return TaskScore(
        metric=metric,
        total=total,
        correct=correct,
        partial=partial,
        wrong=counts["wrong"],
        unparsed=counts["unparsed"],
        unscored=counts["unscored"],
        score=score,
        standard_error=error,
        interval=mean_interval(values) if partial else wilson_interval(correct, total),
        secondary=dict(secondary),
    )


def wilson_interval(correct: int, total: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share (Wilson 1927), without continuity correction."""
    interval = binomtest(correct, total).proportion_ci(level, method="wilson")
    return Interval(low=float(interval.low), high=float(interval.high), level=level)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Bootstrap interval of a mean of scores from 0 to 1, as the gate draws it, items standing alone."""
    generator = np.random.default_rng(0)
    scores = np.asarray(values, dtype=np.float64)
    drawn = resample_mean(scores, range(len(scores)), bounds=(0.0, 1.0), resamples=10_000, generator=generator)
    return drawn.interval(level)


def macro_average(tasks: Mapping[str, TaskRecord], variant: Variant) -> float:
    """Unweighted mean of the tasks' scores."""
    return fmean(record.variants[variant].score for record in tasks.values())


def majority_floor(samples: Sequence[Sample]) -> float:
    """What always giving the most frequent answer would score."""
    return max(Counter(sample.target for sample in samples).values()) / len(samples)
