"""Reads a study's directory: the plan, the rates, and every run, each held against what was planned for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.comparison.comparability import require_comparable
from evaluator.comparison.pairing import adapter_of
from evaluator.comparison.scored_run import Evaluation, ScoredRun, read_evaluation
from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.storage.yaml_files import read_yaml
from schemas.studies.study_plan import ChosenRates, PlannedArm, StudyPlan, run_name
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig

MOST_SHOWN = 10


@dataclass(frozen=True)
class Run:
    """One compared run."""

    manifest: AdapterManifest
    """Of its adapter."""
    scored_run: ScoredRun
    """Its answers."""


@dataclass(frozen=True)
class Results:
    """A whole study."""

    plan: StudyPlan
    """As registered, with amendments."""
    rates: ChosenRates
    """The learning rates."""
    runs: dict[tuple[str, str], dict[int, Run]]
    """By base and arm, then by seed, in the plan's order."""
    controls: dict[str, ScoredRun]
    """The bases without an adapter."""
    notes: tuple[str, ...]
    """What differs without harm."""

    def scored_runs(self, base: str, arm: str) -> list[ScoredRun]:
        """An arm's runs, seed by seed."""
        return [run.scored_run for run in self.runs[base, arm].values()]


def read_results(directory: Path) -> Results:
    """Everything a report needs.

    Raises:
        UserError: a run is missing, does not verify, was not trained as planned, or answered other items.
    """
    plan = StudyPlan.read(directory / "study_plan.json")
    rates = ChosenRates.read(directory / "learning_rates.json")
    if rates.protocol_sha256 != plan.protocol_sha256:
        raise UserError(
            "the learning rates were chosen under another plan", where=directory, fix="python -m studies CONFIG"
        )
    _require_all(plan, directory)
    runs = {
        (one.base, one.arm): {seed: _read_run(directory, plan, rates, one, seed) for seed in plan.protocol.study.seeds}
        for one in plan.protocol.arms
    }
    controls = {base: _control(directory, base, plan) for base in plan.protocol.study.bases}
    everyone = [*controls.values(), *(run.scored_run for by_seed in runs.values() for run in by_seed.values())]
    return Results(plan, rates, runs, controls, require_comparable(everyone))


def _require_all(plan: StudyPlan, directory: Path) -> None:
    """Names every run that has no report yet.

    A study is not analysed while it runs: looking early and then going on is a choice made on the results.
    """
    study = plan.protocol.study
    names = [run_name(one.base, one.arm, seed) for seed in study.seeds for one in plan.protocol.arms]
    report = Path("evaluation", study.evaluation.suite_name, "report.json")
    missing = [name for name in names if not (directory / "runs" / name / report).is_file()]
    if missing:
        more = f" and {len(missing) - MOST_SHOWN} more" if len(missing) > MOST_SHOWN else ""
        raise UserError(
            f"{len(missing)} of {len(names)} runs are not finished: {', '.join(missing[:MOST_SHOWN])}{more}",
            where=directory,
            fix="python -m studies CONFIG runs what is missing",
        )


def _read_run(directory: Path, plan: StudyPlan, rates: ChosenRates, planned: PlannedArm, seed: int) -> Run:
    root = directory / "runs" / run_name(planned.base, planned.arm, seed)
    manifest = read_adapter(RunDirectory(root).adapter).manifest
    trained = _trained_config(RunDirectory(root), manifest)
    wanted = _without_place(planned.config) | {"seed": seed}
    wanted["training"] = {**wanted["training"], "learning_rate": rates.rate_of(planned.base, planned.arm)}
    if _without_place(trained.model_dump(mode="json")) != wanted:
        raise UserError(
            "a run was not trained as the plan says", where=root, fix="remove it; the study trains it again"
        )
    evaluation: Evaluation = read_evaluation(root, plan.protocol.study.evaluation.suite_name)
    return Run(manifest, adapter_of(evaluation))


def _trained_config(run: RunDirectory, manifest: AdapterManifest) -> TrainConfig:
    config = TrainConfig.parse(read_yaml(run.config, "training config"), where=run.config)
    if config.sha256() != manifest.config_sha256:
        raise UserError("config.yaml is not the one the adapter was trained with", where=run.config)
    return config


def _without_place(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("name", "runs")}


def _control(directory: Path, base: str, plan: StudyPlan) -> ScoredRun:
    found: Sequence[Path] = sorted((directory / "bases" / base).glob("base-*"))
    if len(found) != 1:
        raise UserError(
            f"base {base} has {len(found)} reports of its own, expected one",
            where=directory / "bases" / base,
            fix="python -m studies CONFIG scores it",
        )
    return ScoredRun(read_evaluation(found[0], plan.protocol.study.evaluation.suite_name), "base")
