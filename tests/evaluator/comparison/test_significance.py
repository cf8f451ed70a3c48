"""Tests and intervals agree with scipy, statsmodels and published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evaluator.comparison.bootstrap import Distribution, SeedNoise, macro_average, resample_mean
from evaluator.comparison.significance import holm, mcnemar_exact, minimum_detectable_effect
from evaluator.scoring.metrics import wilson_interval

UNIT = (-1.0, 1.0)


def differences(fixed: int, broken: int, items: int) -> np.ndarray:
    return np.array([1.0] * fixed + [-1.0] * broken + [0.0] * (items - fixed - broken))


def resampled(values: np.ndarray, clusters: list[int] | None = None, resamples: int = 50_000) -> Distribution:
    labels = clusters if clusters is not None else list(range(len(values)))
    return resample_mean(values, labels, bounds=UNIT, resamples=resamples, generator=np.random.default_rng(0))


@pytest.mark.parametrize(("fixed", "broken"), [(86, 150), (150, 86), (7, 1), (3, 3), (1, 0), (59, 6)])
def test_mcnemar_is_that_of_statsmodels(fixed: int, broken: int) -> None:
    table = [[794, broken], [fixed, 570]]
    assert mcnemar_exact(fixed, broken) == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-12)


def test_mcnemar_on_agresti_s_approval_ratings() -> None:
    """Agresti, Categorical Data Analysis, table 10.1: 150 and 86 voters changed their minds; z^2 = 17.36."""
    assert mcnemar_exact(86, 150) == pytest.approx(2 * stats.binom.cdf(86, 236, 0.5), rel=1e-9)
    assert mcnemar_exact(86, 150) == pytest.approx(stats.chi2.sf(17.36, 1), rel=0.3)


def test_mcnemar_without_discordant_items_is_no_evidence() -> None:
    assert mcnemar_exact(0, 0) == 1.0


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.random.default_rng(1).uniform(0, 0.2, 8)
    assert holm(list(p_values)) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]))
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@pytest.mark.parametrize("p_values", [[], [0.1, math.nan]])
def test_holm_refuses_an_empty_family_and_nan(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="needs p-values"):
        holm(p_values)


@pytest.mark.parametrize(("correct", "total"), [(0, 20), (13, 20), (20, 20), (2034, 3270)])
def test_wilson_is_that_of_statsmodels(correct: int, total: int) -> None:
    interval = wilson_interval(correct, total, 0.95)
    assert (interval.low, interval.high) == pytest.approx(
        proportion_confint(correct, total, method="wilson"), abs=1e-12
    )


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


def test_humaneval_detects_about_seven_points_and_the_eight_tasks_about_six_tenths() -> None:
    """Issue 4's figures, for one item in ten answered differently."""
    humaneval = resampled(differences(8, 8, 164))
    commonsense = resampled(differences(1121, 1121, 22_419))
    assert minimum_detectable_effect(humaneval, 0.95) == pytest.approx(0.07, abs=0.005)
    assert minimum_detectable_effect(commonsense, 0.95) == pytest.approx(0.006, abs=0.0003)


def test_seeds_are_pooled_over_both_sides_and_one_seed_tells_nothing() -> None:
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
