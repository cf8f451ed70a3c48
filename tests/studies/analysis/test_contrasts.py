"""The study's statistics on synthetic answers whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluator.comparison.bootstrap import Distribution, SeedNoise, resample_mean
from evaluator.comparison.significance import holm
from studies.analysis.contrasts import equivalence_p_value, finding
from studies.analysis.power import Noise

RESAMPLES = 1_000
SEEDS, ITEMS = 4, 300


def three_standard_errors(rate: float, simulations: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / simulations)


def answers(generator: np.random.Generator, seed_deviation: float, truth: float) -> np.ndarray:
    """[S, N] paired differences in -1, 0, 1: every seed shifts all items, items lean one way in all seeds."""
    lean = generator.normal(0, 0.25, ITEMS)
    shift = generator.normal(truth, seed_deviation, SEEDS)
    chance = np.clip(0.5 + (lean[None, :] + shift[:, None]) / 2, 0, 1)
    return 2.0 * (generator.random((SEEDS, ITEMS)) < chance) - 1.0


def distribution(differences: np.ndarray, generator: np.random.Generator) -> Distribution:
    items = resample_mean(
        differences.mean(axis=0), range(ITEMS), bounds=(-1.0, 1.0), resamples=RESAMPLES, generator=generator
    )
    seeds = SeedNoise.between([[float(score) for score in differences.mean(axis=1)]])
    assert seeds is not None
    return seeds.widen(items, generator.standard_t(seeds.degrees, size=RESAMPLES))


def items_only(differences: np.ndarray, generator: np.random.Generator) -> Distribution:
    return resample_mean(
        differences.mean(axis=0), range(ITEMS), bounds=(-1.0, 1.0), resamples=RESAMPLES, generator=generator
    )


@pytest.mark.parametrize("seed_deviation", [0.0, 0.03, 0.1])
def test_intervals_over_seeds_and_items_hold_the_truth_95_percent_of_the_time(seed_deviation: float) -> None:
    generator, simulations, truth = np.random.default_rng(5), 300, 0.02
    misses = 0
    for _ in range(simulations):
        interval = distribution(answers(generator, seed_deviation, truth), generator).interval(0.95)
        misses += not interval.low <= truth <= interval.high
    assert misses / simulations <= 0.05 + three_standard_errors(0.05, simulations)


def test_items_alone_would_promise_too_much() -> None:
    generator, simulations = np.random.default_rng(6), 200
    intervals = [items_only(answers(generator, 0.1, 0.0), generator).interval(0.95) for _ in range(simulations)]
    assert np.mean([not one.low <= 0 <= one.high for one in intervals]) > 0.2


def test_under_holm_a_family_of_equal_arms_shows_a_difference_at_most_5_percent_of_the_time() -> None:
    generator, simulations = np.random.default_rng(7), 100
    false = 0
    for _ in range(simulations):
        family = [distribution(answers(generator, 0.03, 0.0), generator).p_value() for _ in range(5)]
        false += any(finding(p, 1.0, 0.05) == "different" for p in holm(family))
    assert false / simulations <= 0.05 + three_standard_errors(0.05, simulations)


def test_equivalence_is_shown_at_the_margin_s_edge_at_most_5_percent_of_the_time() -> None:
    generator, simulations, margin = np.random.default_rng(8), 200, 0.05
    p_values = [
        equivalence_p_value(distribution(answers(generator, 0.005, margin), generator), margin)
        for _ in range(simulations)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + three_standard_errors(0.05, simulations)


@pytest.mark.parametrize(
    ("centre", "spread", "found"),
    [
        (0.05, 0.005, "different"),
        (0.0, 0.002, "equivalent"),
        (0.005, 0.02, "inconclusive"),
        (0.008, 0.0004, "different"),
    ],
)
def test_the_three_findings(centre: float, spread: float, found: str) -> None:
    draws = np.random.default_rng(9).normal(centre, spread, 5_000)
    shown = Distribution(centre, draws, spread)
    assert finding(shown.p_value(), equivalence_p_value(shown, 0.01), 0.05) == found


def test_the_detectable_effect_is_detected_80_percent_of_the_time() -> None:
    generator, simulations, deviation = np.random.default_rng(10), 300, 0.03
    pilot = [distribution(answers(generator, deviation, 0.0), generator) for _ in range(40)]
    between = [np.std(answers(generator, deviation, 0.0).mean(axis=1), ddof=1) for _ in range(400)]
    seed_deviation = float(np.sqrt(np.mean(np.square(between))))
    total = float(np.sqrt(np.mean([one.standard_error**2 for one in pilot])))
    item_error = math.sqrt(max(0.0, total**2 - seed_deviation**2 / SEEDS))
    truth = Noise(seed_deviation, item_error).detectable(SEEDS, 0.05)
    seen = [
        distribution(answers(generator, deviation, truth), generator).interval(0.95).low > 0 for _ in range(simulations)
    ]
    assert 0.7 <= np.mean(seen) <= 0.95
