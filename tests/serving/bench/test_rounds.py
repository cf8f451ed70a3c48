"""The order of measuring, and what cancels in it."""

import math

import pytest

from serving.bench.load import BlockSpeed
from serving.bench.rounds import METRICS, Measurements, palindrome


def test_every_pair_of_arms_is_visited_there_and_back():
    for seed in range(20):
        order = palindrome(("candidate", "baseline", "control", "base"), seed)
        assert order == order[::-1]
        assert sorted(order[:4]) == ["base", "baseline", "candidate", "control"]
    assert len({tuple(palindrome("ABCD", seed)) for seed in range(20)}) > 5


def test_linear_drift_cancels_in_every_pair():
    into = Measurements()
    for number in range(5):
        seen = {}
        for step, variant in enumerate(palindrome("ABC", number)):
            seen.setdefault(variant, []).append(BlockSpeed(*[math.exp(0.1 * (8 * number + step))] * 3))
        for variant, blocks in seen.items():
            into.blocks.setdefault((1, variant), []).append(tuple(blocks))
    assert into.log_ratios("A", "B", METRICS[0], 1) == pytest.approx([0] * 5)
