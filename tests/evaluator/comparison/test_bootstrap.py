"""Simulations: how often the verdict is wrong about two equal adapters, and how often the interval holds the truth.

Each figure is held to within three binomial standard errors of its nominal value.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from evaluator.comparison.bootstrap import Array, Distribution, SeedNoise, macro_average, resample_mean
from evaluator.comparison.significance import mcnemar_exact
from schemas.evaluation.eval_report import Interval

RecordProperty = Callable[[str, object], None]
RESAMPLES = 2_000
QUICKSTART = (200,) * 5


def noise_of(rate: float, simulations: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / simulations)


def paired_items(items: int, better: float, worse: float, generator: np.random.Generator) -> Array:
    chance = generator.random(items)
    return (chance < better).astype(float) - (chance > 1 - worse)


def macro(sizes: tuple[int, ...], better: float, worse: float, generator: np.random.Generator) -> Distribution:
    return macro_average(
        [
            resample_mean(
                paired_items(items, better, worse, generator),
                range(items),
                bounds=(-1.0, 1.0),
                resamples=RESAMPLES,
                generator=generator,
            )
            for items in sizes
        ]
    )


def misses(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([not interval.low <= truth <= interval.high for interval in intervals]))


def test_equal_adapters_are_told_apart_at_most_5_percent_of_the_time(record_property: RecordProperty) -> None:
    generator, simulations = np.random.default_rng(1), 1_000
    intervals = [macro(QUICKSTART, 0.05, 0.05, generator).interval(0.95) for _ in range(simulations)]
    rate = misses(intervals, 0.0)
    record_property("false_positive_rate", rate)
    assert rate <= 0.05 + noise_of(0.05, simulations)


def test_mcnemar_tells_equal_adapters_apart_at_most_5_percent_of_the_time() -> None:
    generator, simulations = np.random.default_rng(2), 2_000
    discordant = generator.binomial(200, 0.1, simulations)
    fixed = generator.binomial(discordant, 0.5)
    p_values = [mcnemar_exact(int(f), int(d - f)) for f, d in zip(fixed, discordant, strict=True)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + noise_of(0.05, simulations)


@pytest.mark.parametrize(
    ("sizes", "better", "worse"),
    [
        (QUICKSTART, 0.07, 0.02),  # the quickstart's size, a small gain
        (QUICKSTART, 0.37, 0.02),  # a large one
        ((164,), 0.10, 0.05),  # HumanEval
        ((20,) * 57, 0.10, 0.05),  # many small strata, as in MMLU
        ((3270, 500, 1172), 0.06, 0.05),  # unequal tasks
        ((40,), 0.02, 0.01),  # hardly a discordant item
    ],
)
def test_the_interval_holds_the_true_difference_95_percent_of_the_time(
    sizes: tuple[int, ...], better: float, worse: float
) -> None:
    generator, simulations = np.random.default_rng(3), 400 if len(sizes) < 20 else 60
    intervals = [macro(sizes, better, worse, generator).interval(0.95) for _ in range(simulations)]
    assert misses(intervals, better - worse) <= 0.05 + noise_of(0.05, simulations)


def test_clustered_items_keep_their_coverage() -> None:
    """30 passages of 8 questions that share a passage-wide effect; ignoring them would miss several times as often."""
    generator, simulations = np.random.default_rng(4), 300
    clusters = [item // 8 for item in range(240)]
    clustered, naive = [], []
    for _ in range(simulations):
        shift = np.repeat(generator.choice([-0.3, 0.3], 30), 8)
        values = (generator.random(240) < 0.4 + shift).astype(float) - (generator.random(240) < 0.4 - shift)
        for labels, intervals in ((clusters, clustered), (list(range(240)), naive)):
            drawn = resample_mean(values, labels, bounds=(-1.0, 1.0), resamples=RESAMPLES, generator=generator)
            intervals.append(drawn.interval(0.95))
    assert misses(clustered, 0.0) <= 0.05 + noise_of(0.05, simulations)
    assert misses(naive, 0.0) > 0.12


def test_three_seeds_per_side_keep_their_coverage_where_resampling_them_would_not() -> None:
    generator, simulations = np.random.default_rng(5), 600
    with_t, resampled = [], []
    for _ in range(simulations):
        groups = generator.normal(0.7, 0.02, (2, 3))
        noise = SeedNoise.between(groups.tolist())
        assert noise is not None
        estimate = float(groups[0].mean() - groups[1].mean())
        still = Distribution(estimate, np.full(RESAMPLES, estimate), 0.0)
        with_t.append(noise.widen(still, generator.standard_t(noise.degrees, RESAMPLES)).interval(0.95))
        chosen = generator.integers(0, 3, (2, RESAMPLES, 3))
        draws = groups[0][chosen[0]].mean(axis=1) - groups[1][chosen[1]].mean(axis=1)
        resampled.append(Distribution(estimate, draws, 0.0).interval(0.95))
    assert misses(with_t, 0.0) <= 0.05 + noise_of(0.05, simulations)
    assert misses(resampled, 0.0) > 0.15
