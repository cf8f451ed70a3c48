"""The resampling distribution against scipy and closed forms; then simulations: how often it is wrong about the truth.

Each simulated figure is held to within three binomial standard errors of its nominal value.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from evaluator.comparison.bootstrap import (
    Array,
    Distribution,
    SeedNoise,
    macro_average,
    resample_mean,
)
from evaluator.comparison.significance import mcnemar_exact
from schemas.evaluation.eval_report import Interval

RecordProperty = Callable[[str, object], None]
RESAMPLES = 2_000
QUICKSTART = (200,) * 5
UNIT = (-1.0, 1.0)


def differences(fixed: int, broken: int, items: int) -> np.ndarray:
    return np.array([1.0] * fixed + [-1.0] * broken + [0.0] * (items - fixed - broken))


def resampled(values: np.ndarray, clusters: list[int] | None = None, resamples: int = 50_000) -> Distribution:
    labels = clusters if clusters is not None else list(range(len(values)))
    return resample_mean(values, labels, bounds=UNIT, resamples=resamples, generator=np.random.default_rng(0))


def test_the_multinomial_bootstrap_is_the_bootstrap_of_scipy() -> None:
    values = differences(60, 40, 500)
    ours = resampled(values).interval(0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method="percentile", vectorized=True, batch=1_000, rng=0
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_bca_would_change_nothing() -> None:
    values = differences(60, 40, 500)
    ours = resampled(values).interval(0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="BCa", batch=1_000, rng=0
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_its_spread_is_the_closed_form_of_bonett_and_price_about_the_observed_difference() -> None:
    """Airway reactivity before and after stem cell transplantation, 21 children, 7 and 1 changed (Bentur et al., 2009)."""
    p21, p12, n = (7 + 1) / (21 + 2), (1 + 1) / (21 + 2), 21
    closed = math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    assert resampled(differences(7, 1, n)).standard_error == pytest.approx(
        closed * (n + 2) / n * math.sqrt(n / (n - 1)), rel=0.01
    )


def test_clusters_are_resampled_whole() -> None:
    """Every item of a cluster equal: the spread is that of the clusters' means, not of the items."""
    of_cluster = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], size=100, p=[0.1, 0.7, 0.2])
    values, clusters = np.repeat(of_cluster, 10), [item // 10 for item in range(1000)]
    expected = of_cluster.std(ddof=1) / math.sqrt(100)
    assert resampled(values, clusters).standard_error == pytest.approx(expected, rel=0.03)
    assert resampled(values).standard_error < 0.5 * expected


def test_of_one_cluster_nothing_is_known_however_many_items_it_has() -> None:
    distribution = resampled(differences(90, 0, 100), ["passage"] * 100)
    interval = distribution.interval(0.95)
    assert (distribution.estimate, interval.low, interval.high) == (0.9, *UNIT)


def test_two_adapters_that_agree_on_few_items_are_not_proven_equal() -> None:
    interval = resampled(np.zeros(20)).interval(0.95)
    assert interval.low < -0.05
    assert interval.high > 0.05


def test_the_macro_average_weighs_tasks_equally_whatever_their_size() -> None:
    macro = macro_average([resampled(differences(10, 0, 100)), resampled(differences(0, 300, 3000))])
    assert macro.estimate == pytest.approx(0.0, abs=1e-12)
    assert macro.standard_error == pytest.approx(math.hypot(0.0333, 0.0055) / 2, rel=0.02)


def test_seeds_are_pooled_over_both_groups_and_one_seed_tells_nothing() -> None:
    noise = SeedNoise.between([[0.70, 0.72, 0.74], [0.60, 0.62, 0.64]])
    assert noise is not None
    assert noise.degrees == 4
    assert noise.standard_error == pytest.approx(0.02 * math.sqrt(2 / 3))
    assert SeedNoise.between([[0.7], [0.6]]) is None


def test_the_seed_level_is_the_t_interval_when_items_are_without_noise() -> None:
    noise = SeedNoise.between([[0.70, 0.72, 0.74], [0.60, 0.62, 0.64]])
    assert noise is not None
    still = Distribution(0.1, np.full(200_000, 0.1), 0.0)
    interval = noise.widen(still, np.random.default_rng(0).standard_t(4, 200_000)).interval(0.95)
    expected = stats.ttest_ind([0.70, 0.72, 0.74], [0.60, 0.62, 0.64]).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.001)


def test_the_bootstrap_p_value_is_never_below_what_its_resamples_can_tell() -> None:
    assert resampled(differences(90, 0, 100), resamples=999).p_value() == pytest.approx(2 / 1000)
    assert resampled(np.zeros(100)).p_value() > 0.9


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


def test_three_seeds_per_group_keep_their_coverage_where_resampling_them_would_not() -> None:
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
