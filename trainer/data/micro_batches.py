"""Cuts a step's samples into micro-batches so that the fewest columns go into padding.

A micro-batch of n samples, the longest of c tokens, costs n c tokens and a constant: what a pass costs whatever is in it.
Samples are sorted by length, so a micro-batch is a stretch of them, and the cheapest cut follows from the cheapest cuts of
the samples before it:

    cost(i) = min over j < i of cost(j) + ceil((i - j) / processes) length(j) + constant

The loss does not depend on the cut: it is a sum over the step's tokens. The cut depends on the lengths alone, so a resumed
run makes the same ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

_AVOIDED = 1e12  # more than any cut costs in tokens


def micro_batches(
    samples: Sequence[int],
    lengths: Sequence[int],
    *,
    most: int,
    pass_tokens: int = 0,
    processes: int = 1,
    rank: int = 0,
    by_length: bool = True,
    in_company: bool = False,
) -> list[list[int]]:
    """One process's share of a step: as many micro-batches as every other process has, possibly empty ones.

    Args:
        samples: the step's samples.
        lengths: tokens of every sample, by its index.
        most: most samples in a micro-batch.
        pass_tokens: what a pass costs besides its tokens, in tokens.
        processes: number of processes.
        rank: this process.
        by_length: samples of similar length share a micro-batch, and micro-batches of similar length run at the same
            time on all processes; otherwise the samples keep their order and the micro-batches have about the same number.
        in_company: no sample is alone in its micro-batch, if there are two.
    """
    if by_length:
        ordered = sorted(samples, key=lambda sample: (-lengths[sample], sample))
        least = processes * (2 if in_company else 1)
        edges = _cheapest([lengths[sample] for sample in ordered], most, pass_tokens, processes, least)
    else:
        ordered, rounds = list(samples), math.ceil(len(samples) / (most * processes))
        edges = [len(ordered) * part // rounds for part in range(rounds + 1)]
    return [_share(ordered[start:end], processes, rank) for start, end in itertools.pairwise(edges)]


def _cheapest(lengths: Sequence[int], most: int, pass_tokens: int, processes: int, least: int) -> list[int]:
    """Where to cut samples that are sorted from the longest on, for passes that run on all processes at once.

    Fewer than `least` samples between two cuts are avoided where others can be made.
    """
    count = len(lengths)
    costs, cuts = [0.0] + [math.inf] * count, [0] * (count + 1)
    for end in range(1, count + 1):
        for start in range(max(0, end - most * processes), end):
            own = -(-(end - start) // processes) * lengths[start] + pass_tokens
            cost = costs[start] + own + _AVOIDED * (end - start < least)
            if cost < costs[end]:
                costs[end], cuts[end] = cost, start
    edges = [count]
    while edges[-1] > 0:
        edges.append(cuts[edges[-1]])
    return edges[::-1]


def _share(together: Sequence[int], processes: int, rank: int) -> list[int]:
    """One process's part of samples that run at the same time."""
    start, end = (len(together) * part // processes for part in (rank, rank + 1))
    return list(together[start:end])
