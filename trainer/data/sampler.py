"""Which samples an optimizer step sees: a pure function of (seed, step), so that nothing needs saving to resume.

How a step's samples are laid out in micro-batches may depend on their lengths and on the number of processes; which
samples they are does not (issue 3, items 4 and 6).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from schemas.training.train_config import TrainingConfig


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps of one pass over the data; the last may be smaller."""
    return math.ceil(samples / batch_size)


def total_steps(samples: int, training: TrainingConfig) -> int:
    """Optimizer steps of the whole run."""
    if training.max_steps is not None:
        return training.max_steps
    return math.ceil(training.epochs * steps_per_epoch(samples, training.batch_size))


def step_samples(step: int, *, samples: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the samples of optimizer step `step` (from 0)."""
    epoch, index = divmod(step, steps_per_epoch(samples, batch_size))
    return list(_permutation(samples, seed, epoch)[index * batch_size : (index + 1) * batch_size])


@lru_cache(maxsize=2)
def _permutation(samples: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(samples))
    random.Random(f"order-{seed}-{epoch}").shuffle(order)  # noqa: S311 not for secrets
    return tuple(order)


def micro_batches(
    samples: Sequence[int], length: Callable[[int], int], *, size: int, processes: int, rank: int, by_length: bool
) -> list[list[int]]:
    """One process's share of a step: as many micro-batches as every other process has, possibly empty ones.

    Args:
        samples: the step's samples.
        length: length of a sample in tokens.
        size: most samples in a micro-batch.
        processes: number of processes.
        rank: this process.
        by_length: samples of similar length share a micro-batch, and micro-batches of similar length run at the same
            time on all processes.
    """
    ordered = sorted(samples, key=lambda sample: (-length(sample), sample)) if by_length else list(samples)
    count = math.ceil(len(ordered) / (size * processes)) * processes
    edges = [len(ordered) * part // count for part in range(count + 1)]
    return [ordered[edges[part] : edges[part + 1]] for part in range(rank, count, processes)]
