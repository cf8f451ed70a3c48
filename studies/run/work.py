"""What a worker's process does: trains one config, or scores one subject.

Work is plain data until it is called, in a process of its own, so that it can be sent there; the stages are imported only
then, after the worker has set the process's environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from rich.console import Console

from schemas.studies.study_config import StudyEvaluation
from schemas.training.train_config import TrainConfig

Phase = Literal["training", "scoring"]


class Work(Protocol):
    """Something that a process of its own does."""

    @property
    def phase(self) -> Phase:
        """What it is, for the board."""

    def __call__(self) -> None:
        """Does it. An error of the user's or an interruption is raised as everywhere."""


@dataclass(frozen=True)
class Training:
    """Trains one run, or goes on with it."""

    config: TrainConfig
    """The run."""
    phase: ClassVar[Phase] = "training"

    def __call__(self) -> None:
        """Trains and exports."""
        from trainer.train import train

        train(self.config, Console())


@dataclass(frozen=True)
class Scoring:
    """Scores a run's adapter without its base, or a base alone."""

    subject: str
    """The run directory; or the base model, where `base_dtype` is given."""
    items: StudyEvaluation
    """Suite, data and backend."""
    answers: Path
    """Directory of the stored answers."""
    directory: Path | None = None
    """Where a base's report goes; None for a run's adapter."""
    base_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """The type that a base alone is scored in; None for a run's adapter, which keeps its training's."""
    phase: ClassVar[Phase] = "scoring"

    def __call__(self) -> None:
        """Scores and writes the report."""
        from evaluator.commands.score import default_batch_size, resolved_device, score
        from evaluator.quiet import quiet_libraries
        from evaluator.scoring.answers import Settings
        from evaluator.subject import adapter_subject, base_subject
        from evaluator.tasks.suites import find_suite

        quiet_libraries()
        suite = find_suite(self.items.suite, self.items.backend)
        if self.directory is None:
            subject = adapter_subject(Path(self.subject), None, None)
        else:
            subject = base_subject(self.subject, self.directory, self.base_dtype)
        settings = Settings(
            backend=self.items.backend,
            device=resolved_device("auto"),
            limit=self.items.limit,
            batch_size=default_batch_size(self.items.backend),
            with_base=False,
            answers=self.answers,
        )
        score(subject, suite, settings, data=Path(self.items.data) if self.items.data is not None else None)
