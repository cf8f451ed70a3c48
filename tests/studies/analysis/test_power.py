"""What a design could detect, and what seeing a difference would take."""

from __future__ import annotations

import math

import pytest

from studies.analysis.power import Noise, design_words, sentence


def test_more_seeds_and_more_items_are_found_that_show_the_wanted_difference() -> None:
    noise = Noise(seed_deviation=0.02, item_error=0.002)
    seeds = noise.seeds_for(0.01, 0.05)
    assert seeds is not None
    assert noise.detectable(seeds, 0.05) <= 0.01 < noise.detectable(seeds - 1, 0.05)
    factor = Noise(0.002, 0.01).items_factor_for(0.01, 5, 0.05)
    assert factor is not None
    assert Noise(0.002, 0.01 / math.sqrt(factor)).detectable(5, 0.05) == pytest.approx(0.01, rel=1e-3)


def test_seeds_and_items_are_found_that_together_show_the_wanted_difference() -> None:
    noise = Noise(seed_deviation=0.06, item_error=0.008)
    design = noise.design_for(0.01, 0.05)
    assert design is not None
    seeds, factor = design
    assert Noise(0.06, 0.008 / math.sqrt(factor)).detectable(seeds, 0.05) <= 0.01


def test_what_no_number_of_seeds_or_items_shows_is_said_so() -> None:
    assert Noise(0.001, 0.02).seeds_for(0.01, 0.05) is None
    assert Noise(0.05, 0.001).items_factor_for(0.01, 5, 0.05) is None


def test_the_design_s_power_is_said_in_points() -> None:
    words = sentence(Noise(0.02, 0.004), seeds=5, detect=0.01, level=0.05, tests=3)
    assert words.split()[0] == f"{Noise(0.02, 0.004).detectable(5, 0.05) * 100:.1f}"
    assert "as the smallest of 3 p-values under Holm" in words


def test_a_design_is_named_or_its_absence() -> None:
    assert design_words((120, 4.52)) == "120 seeds on 4.5 times the items"
    assert design_words((7, 1.0)) == "7 seeds on these items"
    assert design_words(None) == "more than 10,000 seeds"


def test_without_noise_every_difference_is_seen() -> None:
    assert Noise(0.0, 0.0).detectable(1, 0.05) == 0.0
