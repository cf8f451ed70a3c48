"""Two seed groups on the same items: who fixed what, who broke what, and how sure that makes us.

Legend: S runs of a seed group, N items of a task, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluator.comparison.bootstrap import Array, Distribution, SeedNoise, require_scores, resample_mean
from evaluator.comparison.clusters import clusters_of
from evaluator.comparison.comparability import require_comparable
from evaluator.comparison.same_questions import average_of_sets, task_sets
from evaluator.comparison.scored_run import ScoredRun
from evaluator.comparison.significance import holm, mcnemar_exact, minimum_detectable_effect
from schemas.evaluation.eval_report import Sample
from schemas.evaluation.verdict import Comparison, Difference, PairedGroup, PairedTask


@dataclass(frozen=True)
class Resampling:
    """How the distributions are drawn."""

    confidence: float = 0.95
    """Level of the intervals."""
    resamples: int = 10_000
    """R."""
    seed: int = 0
    """Seed: equal reports give equal intervals."""


@dataclass(frozen=True)
class TaskPair:
    """One task of a paired comparison, with its distribution."""

    candidates: Array
    """[S, N] scores of the candidate's runs: 1 where an item is right, 0 where not, between in metrics that have it."""
    baselines: Array
    """[S', N] the same of the baseline's."""
    clusters: tuple[object, ...]
    """[N] cluster labels."""
    distribution: Distribution
    """Of the difference."""

    @property
    def part(self) -> tuple[Array, tuple[object, ...]]:
        """[N] differences, averaged over the runs, and the clusters."""
        return self.candidates.mean(axis=0) - self.baselines.mean(axis=0), self.clusters

    @property
    def fixed(self) -> int:
        """Pairs of runs and items in which the candidate has the higher score."""
        return int(np.count_nonzero(self.candidates[:, None, :] > self.baselines[None, :, :]))  # [S, S', N]

    @property
    def broken(self) -> int:
        """Pairs of runs and items in which the baseline has the higher score."""
        return int(np.count_nonzero(self.candidates[:, None, :] < self.baselines[None, :, :]))

    def p_value(self) -> float:
        """Exact McNemar between two runs whose items stand alone and are right or wrong; else the bootstrap answers."""
        single = len(self.candidates) == len(self.baselines) == 1 and len(set(self.clusters)) == len(self.clusters)
        binary = all(np.isin(scores, (0.0, 1.0)).all() for scores in (self.candidates, self.baselines))
        return mcnemar_exact(self.fixed, self.broken) if single and binary else self.distribution.p_value()


@dataclass(frozen=True)
class PairedResult:
    """A comparison with its full distributions, from which intervals of any level can be read."""

    candidates: tuple[ScoredRun, ...]
    baselines: tuple[ScoredRun, ...]
    tasks: Mapping[str, TaskPair]
    macro: Distribution
    groups: Mapping[str, Distribution]
    seeds: SeedNoise | None
    notes: tuple[str, ...]
    confidence: float

    @cached_property
    def document(self) -> Comparison:
        """The comparison as the verdict records it."""
        p_values = {name: task.p_value() for name, task in self.tasks.items()}
        adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
        return Comparison(
            suite=self.candidates[0].evaluation.report.suite,
            candidates=tuple(one.name for one in self.candidates),
            baselines=tuple(one.name for one in self.baselines),
            baseline_variant=self.baselines[0].variant,
            macro=self._difference(self.macro, self.macro.p_value()),
            tasks={name: self._task(task, p_values[name], adjusted[name]) for name, task in self.tasks.items()},
            groups={
                name: PairedGroup(
                    tasks=members, difference=self._difference(self.groups[name], self.groups[name].p_value())
                )
                for name, members in self.candidates[0].evaluation.report.groups.items()
            },
            seed_standard_error=self.seeds.standard_error if self.seeds else None,
            notes=self.notes,
        )

    def _difference(self, distribution: Distribution, p_value: float) -> Difference:
        return Difference(
            estimate=distribution.estimate,
            standard_error=distribution.standard_error,
            interval=distribution.interval(self.confidence),
            p_value=p_value,
            minimum_detectable_effect=minimum_detectable_effect(distribution, self.confidence),
        )

    def _task(self, task: TaskPair, p_value: float, p_holm: float) -> PairedTask:
        return PairedTask(
            items=task.candidates.shape[1],
            clusters=len(set(task.clusters)),
            candidate=float(task.candidates.mean()),
            baseline=float(task.baselines.mean()),
            fixed=task.fixed,
            broken=task.broken,
            difference=self._difference(task.distribution, p_value),
            p_holm=p_holm,
        )


def compare_pair(
    candidates: Sequence[ScoredRun],
    baselines: Sequence[ScoredRun],
    settings: Resampling,
    *,
    by_seed: bool = False,
) -> PairedResult:
    """Compares two seed groups item by item: the runs of a group are seeds of one configuration.

    Args:
        candidates, baselines: the runs of either group.
        settings: how the distributions are drawn.
        by_seed: the runs of the two groups are pairs, in this order, that share a seed and with it their data order.

    Raises:
        UserError: the reports do not answer the same items under the same rules.
    """
    notes = require_comparable([*candidates, *baselines])
    generator = np.random.default_rng(settings.seed)
    tasks = {
        name: _task_pair(name, candidates, baselines, settings.resamples, generator)
        for name in candidates[0].evaluation.report.tasks
    }
    trained = [index for index, group in enumerate((candidates, baselines)) if group[0].variant == "adapter"]
    seeds = _seeds(list(tasks.values()), trained, by_seed)
    student = generator.standard_t(seeds.degrees, size=settings.resamples) if seeds else None

    apart, shared = dict(tasks), np.random.default_rng([settings.seed, 1])

    def average(members: Iterable[str]) -> Distribution:
        chosen = [apart[name] for name in members]
        sets = task_sets(candidates[0], members)
        mean = average_of_sets(
            sets, lambda name: apart[name].distribution, lambda name: apart[name].part, (-1.0, 1.0), shared
        )
        noise = _seeds(chosen, trained, by_seed)
        return noise.widen(mean, student) if noise and student is not None else mean

    macro = average(tasks)
    groups = {name: average(members) for name, members in candidates[0].evaluation.report.groups.items()}
    if student is not None:
        tasks = {name: _with_seeds(task, trained, student, by_seed) for name, task in tasks.items()}
    return PairedResult(tuple(candidates), tuple(baselines), tasks, macro, groups, seeds, notes, settings.confidence)


def _task_pair(
    task: str,
    candidates: Sequence[ScoredRun],
    baselines: Sequence[ScoredRun],
    resamples: int,
    generator: np.random.Generator,
) -> TaskPair:
    items = sorted(candidates[0].samples(task))
    # An item without a score counts against the candidate in both groups; the policy bounds how many there may be.
    groups = [
        np.array([[_value(one.samples(task)[item], unscored=favour) for item in items] for one in group])
        for group, favour in ((candidates, 0.0), (baselines, 1.0))
    ]
    first = candidates[0].samples(task)
    clusters = clusters_of(first[item] for item in items)
    difference = groups[0].mean(axis=0) - groups[1].mean(axis=0)
    require_scores(task, difference)
    distribution = resample_mean(difference, clusters, bounds=(-1.0, 1.0), resamples=resamples, generator=generator)
    return TaskPair(groups[0], groups[1], clusters, distribution)


def _value(sample: Sample, unscored: float) -> float:
    return unscored if sample.outcome == "unscored" else sample.value


def _seeds(tasks: Sequence[TaskPair], trained: Sequence[int], by_seed: bool) -> SeedNoise | None:
    """The noise that seeds bring into the average of these tasks."""
    return SeedNoise.between(_levels([_average_by_run(tasks, index) for index in trained], by_seed))


def _average_by_run(tasks: Sequence[TaskPair], group: int) -> list[float]:
    scores = [(task.candidates, task.baselines)[group].mean(axis=1) for task in tasks]  # [tasks][S]
    return [float(score) for score in np.mean(scores, axis=0)]


def _levels(groups: Sequence[Sequence[float]], by_seed: bool) -> Sequence[Sequence[float]]:
    """The samples whose spread is the seeds' noise: each group's scores, or the differences of pairs that share a seed."""
    return [[one - other for one, other in zip(*groups, strict=True)]] if by_seed else groups


def _with_seeds(task: TaskPair, trained: Sequence[int], student: Array, by_seed: bool) -> TaskPair:
    seeds = _seeds([task], trained, by_seed)
    return replace(task, distribution=seeds.widen(task.distribution, student)) if seeds else task
