"""Tasks of one suite that ask the same questions and count them in several ways: their items are resampled together.

Drawn apart, the scorings of one answer would pass for independent evidence, and an average's interval would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from evaluator.comparison.bootstrap import Array, Distribution, macro_average, resample_mean
from evaluator.comparison.scored_run import ScoredRun

Part = tuple[Array, Sequence[object]]
"""A task's values, [N], and its items' clusters."""


def task_sets(scored_run: ScoredRun, tasks: Iterable[str]) -> list[list[str]]:
    """The tasks in sets that ask the same, item by item; a task that shares its questions with none is a set by itself."""
    sets: dict[object, list[str]] = {}
    for task in tasks:
        samples = scored_run.samples(task)
        sets.setdefault(tuple((item, samples[item].prompt) for item in sorted(samples)), []).append(task)
    return list(sets.values())


def average_of_sets(
    sets: Sequence[Sequence[str]],
    alone: Callable[[str], Distribution],
    part: Callable[[str], Part],
    bounds: tuple[float, float],
    generator: np.random.Generator,
) -> Distribution:
    """The unweighted mean over all tasks: each set is resampled by item, the sets independently of each other.

    Args:
        sets: see `task_sets`.
        alone: the distribution of a task that is a set by itself.
        part: values and clusters of a task that shares its questions.
        bounds: of a value.
        generator: draws the shared sets.
    """

    def of(names: Sequence[str]) -> Distribution:
        if len(names) == 1:
            return alone(names[0])
        parts = [part(name) for name in names]
        clusters = min((clusters for _, clusters in parts), key=lambda labels: len(set(labels)))  # the coarsest
        mean = np.mean([values for values, _ in parts], axis=0)
        return resample_mean(mean, clusters, bounds=bounds, resamples=len(alone(names[0]).draws), generator=generator)

    return macro_average([of(names) for names in sets], [len(names) for names in sets])
