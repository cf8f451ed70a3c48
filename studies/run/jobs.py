"""What there is to do: train a run and score it, or score a base. A job is done when its artifacts verify, not before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from schemas.adapter_reader import read_adapter
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport
from schemas.run_directory import RunDirectory
from schemas.storage.yaml_files import read_yaml
from schemas.studies.study_config import StudyEvaluation
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig
from schemas.training.training_metrics import TrainingMetrics
from studies.run.work import Scoring, Training, Work
from trainer.checkpoint.own_files import remove_checkpoints
from trainer.config_file import write_config


class Job(Protocol):
    """Something that takes work until its artifacts are there and verify."""

    @property
    def name(self) -> str:
        """Names its log, and in errors the job."""

    def next_work(self) -> Work | None:
        """What is left to do first; None when all is done."""

    def progress(self) -> str:
        """How far the running work is, in a few characters."""

    def score(self) -> float | None:
        """What it is about, once done."""


@dataclass
class RunJob:
    """Trains one run and scores its adapter."""

    study: Path
    """The study's directory."""
    config: TrainConfig
    """The run."""
    items: StudyEvaluation | None
    """The items to score it on; None leaves scoring out (tuning on the validation loss)."""
    replaces: Path | None = None
    """Directory that takes an earlier run of that name with another config, where the plan was amended."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.config.name

    @cached_property
    def run(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(Path(self.config.runs) / self.config.name)

    def next_work(self) -> Work | None:
        """Training until the adapter verifies and is of this config, then scoring until the report verifies."""
        if self.manifest() is None:
            self._set_aside_another_run()
            write_config(self.config, self.study / "configs" / f"{self.name}.yaml")  # for people
            return Training(self.config)
        if self.items is not None and self.report() is None:
            return Scoring(str(self.run.root), self.items, self.study / ".answers")
        remove_checkpoints(self.run.checkpoints)  # several times the adapter's size, and of no more use
        return None

    def manifest(self) -> AdapterManifest | None:
        """The adapter's manifest, where the adapter is whole and of this very config."""
        if not self.run.manifest.is_file():
            return None
        try:
            manifest = read_adapter(self.run.adapter).manifest
        except UserError:
            return None
        return manifest if manifest.config_sha256 == self.config.sha256() else None

    def report(self) -> EvalReport | None:
        """The report, where it is whole, of this adapter and of these items."""
        if self.items is None:
            return None
        report = _whole_report(self.run, self.items)
        reference = report.adapter if report else None
        same = reference is not None and reference.manifest_sha256 == sha256_of(self.run.manifest)
        return report if same else None

    def score(self) -> float | None:
        """Macro accuracy, or without items the validation loss."""
        if self.items is None:
            manifest = self.manifest()
            return manifest.own_training.validation_loss if manifest else None
        report = self.report()
        return report.macro["adapter"] if report else None

    def progress(self) -> str:
        """Optimizer steps by the last line of metrics.jsonl."""
        try:
            with self.run.metrics.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
                lines = file.read().splitlines()
            return f"step {TrainingMetrics.model_validate_json(lines[-1]).step}"
        except (OSError, IndexError, ValidationError):
            return "train"

    def _set_aside_another_run(self) -> None:
        """Keeps what an amended plan no longer counts, out of the way of its successor."""
        if self.replaces is None or not self.run.config.is_file():
            return
        found = read_yaml(self.run.config, "training config")
        if TrainConfig.upgraded(found) != self.config.model_dump(mode="json"):
            self.replaces.mkdir(parents=True, exist_ok=True)
            names = (self.name, *(f"{self.name}.{number}" for number in range(2, 1000)))
            os.rename(self.run.root, next(self.replaces / n for n in names if not os.path.lexists(self.replaces / n)))


@dataclass
class BaseJob:
    """Scores one base model without an adapter."""

    study: Path
    base: str
    config: TrainConfig
    items: StudyEvaluation

    @property
    def name(self) -> str:
        """As its log is called."""
        return f"{self.base}.base"

    def next_work(self) -> Work | None:
        """Scoring until the report verifies."""
        if self.report() is not None:
            return None
        model, dtype = self.config.base.model, self.config.base.dtype
        return Scoring(model, self.items, self.study / ".answers", self._place, dtype)

    def report(self) -> EvalReport | None:
        """The report, where it is whole."""
        found = [_whole_report(RunDirectory(path), self.items) for path in sorted(self._place.glob("base-*"))]
        return next((report for report in found if report is not None), None)

    def score(self) -> float | None:
        """Macro accuracy."""
        report = self.report()
        return report.macro["base"] if report else None

    def progress(self) -> str:
        """Nothing to tell."""
        return ""

    @property
    def _place(self) -> Path:
        return self.study / "bases" / self.base


def _whole_report(run: RunDirectory, items: StudyEvaluation) -> EvalReport | None:
    """The report of these items, once its samples are the ones it was written with."""
    name = items.suite_name
    folder = run.evaluation(name)
    try:
        report = EvalReport.read(folder / "report.json")
        whole = sha256_of(folder / "samples.jsonl") == report.samples_sha256
    except (UserError, OSError):
        return None
    fits = (report.suite, report.limit, report.backend) == (name, items.limit, items.backend)
    return report if whole and fits else None
