"""The statistics behind the zero-overhead verdict, against textbook values and by simulation."""

import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from serving.bench.equivalence import rounds_needed, tost


def draws(mean, noise, rounds, seed=0):
    return np.random.default_rng(seed).normal(mean, noise, rounds)


def test_the_p_value_is_that_of_statsmodels():
    ours, theirs = draws(0.004, 0.02, 12), np.zeros(12)
    bound = math.log1p(0.02)
    expected, _, _ = ttost_paired(ours, theirs, -bound, bound)
    assert tost(ours, 0.02).p_value == pytest.approx(expected)


def test_equal_arms_with_enough_rounds_are_equivalent():
    result = tost(draws(0, 0.02, 60), 0.02)
    assert result.verdict == "equivalent"
    assert result.low < 1 < result.high
    assert result.p_value < 0.05


def test_a_slower_arm_is_not_equivalent():
    assert tost(draws(math.log(1.1), 0.02, 60), 0.02).verdict == "not_equivalent"


def test_a_faster_arm_is_not_equivalent_either():
    assert tost(draws(math.log(0.9), 0.02, 60), 0.02).verdict == "not_equivalent"


def test_a_true_difference_at_the_margin_is_called_equivalent_in_five_percent_of_trials_at_most():
    verdicts = [tost(draws(math.log1p(0.02), 0.02, 20, seed), 0.02).verdict for seed in range(1000)]
    assert verdicts.count("equivalent") / 1000 <= 0.07


def test_the_planned_rounds_reach_their_power():
    rounds = rounds_needed(0.03, 0.02)
    verdicts = [tost(draws(0, 0.03, rounds, seed), 0.02).verdict for seed in range(500)]
    assert 0.86 <= verdicts.count("equivalent") / 500 <= 0.97


def test_more_noise_needs_more_rounds():
    counts = [rounds_needed(noise, 0.02) for noise in (0.001, 0.01, 0.02, 0.05, 0.1)]
    assert counts == sorted(counts)
    assert counts[0] == 4
    assert counts[-1] > 200


def test_noise_without_end_is_inconclusive():
    assert tost(draws(0, 0.5, 10), 0.02).verdict == "inconclusive"


def test_one_round_proves_nothing():
    with pytest.raises(ValueError, match="at least two"):
        tost([0.0], 0.02)
