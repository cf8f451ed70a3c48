"""Micro-batches: every sample once, as many on each process, and as little padding as pays."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from trainer.data.micro_batches import micro_batches


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("by_length", [True, False])
@pytest.mark.parametrize("in_company", [True, False])
def test_each_sample_is_shared_out_once_and_micro_batches_in_equal_number(
    processes: int, by_length: bool, in_company: bool
) -> None:
    samples, lengths = list(range(1, 12)), [(7 * sample) % 5 for sample in range(12)]
    options = {"most": 2, "processes": processes, "by_length": by_length, "in_company": in_company}
    shares = [micro_batches(samples, lengths, rank=rank, **options) for rank in range(processes)]
    assert sorted(sample for share in shares for part in share for sample in part) == samples
    assert len({len(share) for share in shares}) == 1
    assert max(len(part) for share in shares for part in share) <= 2


def test_fewer_samples_than_processes_leave_a_process_an_empty_micro_batch() -> None:
    shares = [micro_batches([4], [1] * 5, most=2, processes=2, rank=rank) for rank in (0, 1)]
    assert sorted(shares) == [[[]], [[4]]]


@pytest.mark.parametrize("pass_tokens", [0, 10, 50, 10**6])
@pytest.mark.parametrize("most", [2, 7])
def test_no_other_cut_is_cheaper(pass_tokens: int, most: int) -> None:
    lengths = [random.Random(seed).randrange(10, 90) for seed in range(7)]
    found = micro_batches(range(7), lengths, most=most, pass_tokens=pass_tokens)

    def cost(parts: list[list[int]]) -> int:
        return sum(len(part) * max(lengths[sample] for sample in part) + pass_tokens for part in parts)

    assert cost(found) == min(cost(parts) for parts in every_cut(lengths) if max(map(len, parts)) <= most)


def every_cut(lengths: list[int]) -> Iterator[list[list[int]]]:
    """All ways to cut the samples, sorted by length."""
    ordered = sorted(range(len(lengths)), key=lambda sample: -lengths[sample])
    for cuts in itertools.product((False, True), repeat=len(ordered) - 1):
        edges = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), len(ordered)]
        yield [ordered[start:end] for start, end in itertools.pairwise(edges)]


def test_a_pass_that_costs_much_takes_all_samples() -> None:
    assert len(micro_batches(range(8), [10, 90] * 4, most=8, pass_tokens=10**6)) == 1
    assert len(micro_batches(range(8), [10, 90] * 4, most=8, pass_tokens=1)) == 2
