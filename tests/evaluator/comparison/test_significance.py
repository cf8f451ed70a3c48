"""Tests and intervals agree with scipy, statsmodels and published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evaluator.comparison.significance import holm, mcnemar_exact, minimum_detectable_effect
from tests.evaluator.comparison.test_bootstrap import differences, resampled


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


def test_humaneval_detects_about_seven_points_and_the_eight_tasks_about_six_tenths() -> None:
    """Issue 4's figures, for one item in ten answered differently."""
    humaneval = resampled(differences(8, 8, 164))
    commonsense = resampled(differences(1121, 1121, 22_419))
    assert minimum_detectable_effect(humaneval, 0.95) == pytest.approx(0.07, abs=0.005)
    assert minimum_detectable_effect(commonsense, 0.95) == pytest.approx(0.006, abs=0.0003)
