"""Counts, scores and intervals of one task, from its samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from scipy.stats import binomtest

from schemas.evaluation.eval_report import Interval, Sample, TaskRecord, TaskScore, Variant


def score_task(metric: str, samples: Sequence[Sample], secondary: Mapping[str, float]) -> TaskScore:
    """The four counts, the share of right answers, its binomial standard error and its Wilson interval."""
    counts = Counter(sample.outcome for sample in samples)
    total, correct = len(samples), counts["correct"]
    share = correct / total
    return TaskScore(
        metric=metric,
        total=total,
        correct=correct,
        wrong=counts["wrong"],
        unparsed=counts["unparsed"],
        unscored=counts["unscored"],
        score=share,
        standard_error=math.sqrt(share * (1 - share) / total),
        interval=wilson_interval(correct, total),
        secondary=dict(secondary),
    )


def wilson_interval(correct: int, total: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share (Wilson 1927), without continuity correction."""
    interval = binomtest(correct, total).proportion_ci(level, method="wilson")
    return Interval(low=float(interval.low), high=float(interval.high), level=level)


def macro_average(tasks: Mapping[str, TaskRecord], variant: Variant) -> float:
    """Unweighted mean of the tasks' scores."""
    return fmean(record.variants[variant].score for record in tasks.values())


def majority_floor(samples: Sequence[Sample]) -> float:
    """What always giving the most frequent answer would score."""
    return max(Counter(sample.target for sample in samples).values()) / len(samples)
