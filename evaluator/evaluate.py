"""The story of one evaluation: each variant answers every item, answers become counts, counts become the report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluator.backends.context_window import cap_new_tokens, context_window, cut_prompts
from evaluator.scoring.adapter_check import require_that_the_adapter_acts
from evaluator.scoring.caching_model import RecordingModel
from evaluator.scoring.humaneval import judge_completions, pass_at_k, require_an_isolating_runtime
from evaluator.scoring.metrics import macro_average, majority_floor, score_task
from evaluator.scoring.response_cache import ResponseStore
from evaluator.scoring.samples import documents_sha256, generation_sha256, prompts_sha256, read_samples
from evaluator.subject import Subject
from evaluator.tasks.load import FEWSHOT_SEED, LoadedTasks
from evaluator.tasks.suites import Backend, Suite
from schemas.errors import INTERRUPTED, Interrupted
from schemas.evaluation.eval_report import EvalReport, Sample, TaskRecord, Variant

_PACKAGES = ("echo-lora", "torch", "transformers", "peft", "lm-eval", "vllm")
Logged = Mapping[str, Sequence[Mapping[str, Any]]]


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
    """How to score.

    Attributes:
        backend: what generates.
        device: device name, for the store's key and the transformers backend.
        limit: items per task; None takes all.
        batch_size: prompts per chunk; changes speed, not scores.
        with_base: whether the base answers too.
        answers: directory of the stored answers.
        merge: whether the adapter answers merged into the base.
    """

    backend: Backend
    device: str
    limit: int | None
    batch_size: int
    with_base: bool
    answers: Path
    merge: bool = False


@dataclass(frozen=True)
class Evaluation:
    """A report and the samples behind it.

    Attributes:
        report: the scores.
        samples: every item of every variant.
        asked: requests that a model answered now; the others were stored.
        seconds: wall time of answering them, the models' opening left out.
    """

    report: EvalReport
    samples: tuple[Sample, ...]
    asked: int
    seconds: float

    def samples_jsonl(self) -> bytes:
        """The bytes of samples.jsonl."""
        return b"".join(sample.model_dump_json().encode() + b"\n" for sample in self.samples)


def evaluate(subject: Subject, loaded: LoadedTasks, models: LanguageModels, settings: Settings) -> Evaluation:
    """Scores the base (unless left out) and the adapter on the same items.

    Raises:
        UserError: the adapter changes no answer at all, or a model's numbers are not finite.
        Interrupted: Ctrl-C or SIGTERM; the answers so far are kept.
    """
    started = time.monotonic()
    if loaded.suite.layout == "humaneval":
        require_an_isolating_runtime()
    notes = cap_new_tokens(loaded.tasks, context_window(subject.base.directory))
    answered = {
        variant: _answer(subject, loaded, models, settings, variant) for variant in _variants(subject, settings)
    }
    results = {variant: result for variant, (result, _) in answered.items()}
    logged: dict[Variant, Logged] = {variant: result["samples"] for variant, result in results.items()}
    require_that_the_adapter_acts(logged)
    samples = {name: _samples(loaded, task, logged, settings) for name, task in loaded.tasks.items()}
    records = {name: _record(loaded, name, task, results, samples[name]) for name, task in loaded.tasks.items()}
    any_variant = next(iter(logged.values()))
    notes += cut_prompts(subject.base.directory, [entry for entries in any_variant.values() for entry in entries])
    everything = tuple(sample for variants in samples.values() for given in variants.values() for sample in given)
    report = _report(subject, loaded, settings, records, list(results), notes, started)
    report = report.model_copy(update={"notes": models.notes})
    recorded = [model for _, model in answered.values()]
    asked, seconds = sum(model.asked for model in recorded), sum(model.seconds for model in recorded)
    evaluation = Evaluation(report, everything, asked, seconds)
    digest = hashlib.sha256(evaluation.samples_jsonl()).hexdigest()
    return replace(evaluation, report=report.model_copy(update={"samples_sha256": digest}))


def _variants(subject: Subject, settings: Settings) -> list[Variant]:
    variants: list[Variant] = ["base"] if settings.with_base or subject.adapter is None else []
    return variants + (["adapter"] if subject.adapter else [])


def _answer(
    subject: Subject, loaded: LoadedTasks, models: LanguageModels, settings: Settings, variant: Variant
) -> tuple[Mapping[str, Any], RecordingModel]:
    from lm_eval.evaluator import evaluate as run_lm_eval

    store = ResponseStore(settings.answers / f"{settings.backend}-{_store_key(subject, settings, variant)}.jsonl")
    for task in loaded.tasks.values():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)  # both variants draw the same shots
    with _progress() as progress:
        label = f"{loaded.suite.name} · {subject.name if variant == 'adapter' else 'base'}"
        model = RecordingModel(lambda: models.open(variant), store, settings.batch_size, progress, label)
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
    return result, model


def _samples(
    loaded: LoadedTasks, task: Any, logged: Mapping[Variant, Logged], settings: Settings
) -> Mapping[Variant, Sequence[Sample]]:
    rows = {variant: entries[task.task_name] for variant, entries in logged.items()}
    if loaded.suite.layout == "humaneval":
        with _progress() as progress:
            return judge_completions(task, rows, settings.answers, progress)
    return {variant: read_samples(loaded.suite, task, entries, variant) for variant, entries in rows.items()}


def _store_key(subject: Subject, settings: Settings, variant: Variant) -> str:
    """Everything but the request that an answer depends on."""
    parts = [subject.identity(variant), settings.backend, settings.device, *sorted(_versions().items())]
    parts += ["merged"] if settings.merge and variant == "adapter" else []
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _record(
    loaded: LoadedTasks,
    name: str,
    task: Any,
    results: Mapping[Variant, Mapping[str, Any]],
    samples: Mapping[Variant, Sequence[Sample]],
) -> TaskRecord:
    suite = loaded.suite
    prompts = {prompts_sha256(result["samples"][name]) for result in results.values()}
    assert len(prompts) == 1, "the variants were asked different things"
    logged = next(iter(results.values()))["samples"][name]
    free_text = task.OUTPUT_TYPE == "generate_until" and suite.layout != "records"
    return TaskRecord(
        version=str(task.VERSION),
        floor=None if free_text else majority_floor(next(iter(samples.values()))),
        documents_sha256=documents_sha256(logged),
        prompts_sha256=prompts.pop(),
        generation_sha256=generation_sha256(suite, task),
        variants={
            variant: score_task(
                suite.metric, samples[variant], _secondary(suite, result["results"][name], samples[variant])
            )
            for variant, result in results.items()
        },
    )


def _secondary(suite: Suite, scores: Mapping[str, Any], samples: Sequence[Sample]) -> dict[str, float]:
    """Further scores: pass@k, or lm-eval's own, such as `acc_norm` or `exact_match,flexible-extract`."""
    if suite.layout == "humaneval":
        return pass_at_k(samples)
    primary = f"{suite.metric},{suite.filter}"
    others = {key: value for key, value in scores.items() if isinstance(value, float) and key != primary}
    return {key.removesuffix(",none"): value for key, value in others.items() if "stderr" not in key}


def _report(
    subject: Subject,
    loaded: LoadedTasks,
    settings: Settings,
    records: Mapping[str, TaskRecord],
    variants: Sequence[Variant],
    notes: tuple[str, ...],
    started: float,
) -> EvalReport:
    return EvalReport(
        suite=loaded.suite.name,
        protocol="; ".join((loaded.suite.protocol, *loaded.notes, *notes)),
        created=datetime.now(UTC),
        backend=settings.backend,
        dtype=subject.dtype,
        base=subject.base.reference,
        adapter=subject.adapter_reference(),
        limit=settings.limit,
        seed=FEWSHOT_SEED,
        tasks=dict(records),
        macro={variant: macro_average(records, variant) for variant in variants},
        samples_sha256="0" * 64,  # filled in once the samples are in order
        seconds=time.monotonic() - started,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    import platform

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # PackageNotFoundError: a stage's image has only its own packages
            continue
    return found


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )
