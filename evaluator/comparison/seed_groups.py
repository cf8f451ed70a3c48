"""Runs sorted into seed groups: seeds of one configuration together, the base model on its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.comparison.pairing import BASE
from evaluator.comparison.scored_run import Evaluation, ScoredRun, read_evaluation, suites_of
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.storage.yaml_files import read_yaml

METHODS = {"lora": "LoRA", "dora": "DoRA", "echo_lora": "Echo-LoRA", "echo_dora": "Echo-DoRA"}
NOT_THE_CONFIGURATION = ("name", "seed", "runs", "title")


@dataclass(frozen=True)
class SeedGroup:
    """The runs that differ in nothing but their seed."""

    label: str
    """As people call it: `base`, `Echo-LoRA`, or with the run's name where two groups share a method."""
    runs: tuple[ScoredRun, ...]
    """Its runs, one per seed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its runs."""
        return tuple(one.name for one in self.runs)


def read_seed_groups(runs: Sequence[Path], suite: str) -> list[SeedGroup]:
    """The base on its own where a report has it, then the runs' groups in the order of their first run.

    Raises:
        UserError: a report is missing or does not verify.
    """
    evaluations = [read_evaluation(run, suite) for run in runs]
    grouped: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        grouped.setdefault(_configuration(evaluation), []).append(evaluation)
    groups = [
        SeedGroup(label, tuple(ScoredRun(one, "adapter" if one.report.adapter else "base") for one in group))
        for label, group in zip(_labels(list(grouped.values())), grouped.values(), strict=True)
    ]
    with_base = [one for one in evaluations if one.report.adapter and "base" in one.report.macro]
    return [*([SeedGroup(BASE, (ScoredRun(with_base[0], "base"),))] if with_base else []), *groups]


def find_seed_group(groups: Sequence[SeedGroup], wanted: str | None) -> SeedGroup:
    """The group of a run's name or directory, or `base`; by default the last one, and the base where only one ran.

    Raises:
        UserError: no group is called so.
    """
    if wanted is None:
        return groups[-1] if len(groups) != 2 else groups[0]
    for group in groups:
        if wanted == group.label or Path(wanted).name in group.names:
            return group
    raise UserError(
        f"no run here is called {wanted!r}", where=", ".join(f"{one.label} ({', '.join(one.names)})" for one in groups)
    )


def shared_suites(runs: Sequence[Path], wanted: Sequence[str] | None) -> list[str]:
    """The suites to show: those asked for, or all that every run was evaluated on.

    Raises:
        UserError: a run is named twice, or there is no such suite.
    """
    if len({run.resolve() for run in runs}) != len(runs):
        raise UserError("a run is named twice", where=" ".join(map(str, runs)), fix="name each run once")
    if wanted:
        return list(dict.fromkeys(wanted))
    shared = set.intersection(*(set(suites_of(run)) for run in runs))
    if not shared:
        raise UserError(
            "these runs share no evaluated suite",
            where=", ".join(f"{run}: {', '.join(suites_of(run)) or 'none'}" for run in runs),
            fix=f"python -m evaluator {runs[0]} --suite quickstart",
        )
    return sorted(shared)


def _configuration(evaluation: Evaluation) -> str:
    """What makes two runs seeds of each other: their training config, its name and seed aside."""
    run: RunDirectory = evaluation.run
    adapter = evaluation.report.adapter
    if adapter is None or not run.config.is_file():
        return str(run.root.resolve())
    config = read_yaml(run.config, "training config")
    kept = {key: value for key, value in config.items() if key not in NOT_THE_CONFIGURATION}
    return json.dumps([adapter.method, kept], sort_keys=True, default=str)


def _labels(groups: Sequence[Sequence[Evaluation]]) -> list[str]:
    methods = [_method(group[0]) for group in groups]
    shared = Counter(methods)
    return [
        method if shared[method] == 1 else f"{method} {group[0].name}"
        for method, group in zip(methods, groups, strict=True)
    ]


def _method(evaluation: Evaluation) -> str:
    adapter = evaluation.report.adapter
    return METHODS.get(adapter.method, adapter.method) if adapter else evaluation.name
