"""Puts a suite's questions to one variant of the model: what is stored is not asked again, what is asked is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluator.scoring.caching_model import RecordingModel
from evaluator.scoring.readable import labels_of
from evaluator.scoring.response_cache import ResponseStore
from evaluator.subject import Subject
from evaluator.tasks.load import FEWSHOT_SEED, LoadedTasks
from evaluator.tasks.suites import Backend
from schemas.errors import INTERRUPTED, Interrupted
from schemas.evaluation.eval_report import Variant

_PACKAGES = ("echo-lora", "torch", "transformers", "peft", "lm-eval", "vllm")


class LanguageModels(Protocol):
    """A backend: opens the variants of one subject."""

    notes: tuple[str, ...]
    """What sets its answers apart from the plain base or adapter, for the report's protocol."""

    def open(self, variant: Variant) -> Any:
        """The variant as an lm-eval language model."""

    def close(self) -> None:
        """Frees what it holds."""


@dataclass(frozen=True)
class Settings:
    """How to score."""

    backend: Backend
    """What generates."""
    device: str
    """Device name, for the store's key and the transformers backend."""
    limit: int | None
    """Items per task; None takes all."""
    batch_size: int
    """Prompts per chunk; changes speed, not scores."""
    with_base: bool
    """Whether the base answers too."""
    answers: Path
    """Directory of the stored answers."""
    merge: bool = False
    """Whether the adapter answers merged into the base."""
    tensor_parallel_size: int = 1
    """GPUs that share each layer, with vLLM; changes speed, not scores."""
    judge_key_file: Path | None = None
    """File that holds the API key of the suite's judge; None sends none."""


@dataclass(frozen=True)
class Answers:
    """What one variant answered."""

    logged: Mapping[str, Sequence[Mapping[str, Any]]]
    """lm-eval's samples by task: per item the document, the request, the responses, the filtered ones."""
    scores: Mapping[str, Mapping[str, Any]]
    """lm-eval's own scores by task."""
    asked: int
    """Requests that the model answered now; the others were stored."""
    seconds: float
    """Wall time of answering them, the model's opening left out."""


def ask(variant: Variant, subject: Subject, loaded: LoadedTasks, models: LanguageModels, settings: Settings) -> Answers:
    """Every answer of one variant.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the answers so far are kept.
    """
    from lm_eval.evaluator import evaluate as run_lm_eval

    store = ResponseStore(settings.answers / f"{settings.backend}-{_store_key(variant, subject, settings)}.jsonl")
    for task in loaded.tasks.values():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)  # both variants draw the same shots
    label = f"{loaded.suite.name} · {subject.name if variant == 'adapter' else 'base'}"
    labels = {name: labels_of(task) for name, task in loaded.tasks.items()}
    with progress_bars() as progress:
        model = RecordingModel(lambda: models.open(variant), store, settings.batch_size, progress, label, labels)
        try:
            result: Mapping[str, Any] = run_lm_eval(
                lm=model,
                task_dict={"tasks": dict(loaded.tasks), "groups": {}},
                limit=settings.limit,
                bootstrap_iters=0,
                log_samples=True,
            )
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"interrupted: {len(store)} answers are kept in {store.path}; the same command goes on from there",
                exit_code=stop.exit_code if isinstance(stop, Interrupted) else INTERRUPTED,
            ) from None
    return Answers(result["samples"], result["results"], model.asked, model.seconds)


def versions() -> dict[str, str]:
    """Of Python and of the packages that shape an answer."""
    import platform

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError: a stage's image has only its own packages
            continue
    return found


def progress_bars() -> Progress:
    """Bars with a count and both times."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )


def _store_key(variant: Variant, subject: Subject, settings: Settings) -> str:
    """Everything but the request that an answer depends on."""
    parts = [subject.identity(variant), settings.backend, settings.device, *sorted(versions().items())]
    parts += ["merged"] if settings.merge and variant == "adapter" else []
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
