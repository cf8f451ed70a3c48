"""The story of one evaluation: each variant answers every item, answers become counts, counts become the report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from evaluator.backends.context_window import cap_new_tokens, context_window, cut_prompts
from evaluator.judge.endpoint import JudgeEndpoint
from evaluator.judge.judging import JudgedTask, judge_answers
from evaluator.scoring.adapter_check import require_that_the_adapter_acts
from evaluator.scoring.answers import Answers, LanguageModels, Settings, ask, progress_bars, versions
from evaluator.scoring.humaneval import judge_completions, pass_at_k, require_an_isolating_runtime
from evaluator.scoring.metrics import macro_average, majority_floor, score_task
from evaluator.scoring.samples import documents_sha256, generation_sha256, prompts_sha256, read_samples, to_jsonl
from evaluator.subject import Subject
from evaluator.tasks.load import FEWSHOT_SEED, LoadedTasks
from evaluator.tasks.suites import Counting, Suite
from evaluator.tasks.trained_as_scored import prompt_differences
from schemas.evaluation.eval_report import EvalReport, Sample, TaskRecord, Variant

Asked = Mapping[Variant, Answers]


@dataclass(frozen=True)
class Evaluation:
    """A report and the samples behind it."""

    report: EvalReport
    """The scores."""
    samples: tuple[Sample, ...]
    """Every item of every variant, task by task."""
    samples_jsonl: bytes
    """The same as the bytes of samples.jsonl, whose hash stands in the report."""
    asked: int
    """Requests that a model answered now; the others were stored."""
    seconds: float
    """Wall time of answering them, the models' opening left out."""


def evaluate(subject: Subject, loaded: LoadedTasks, models: LanguageModels, settings: Settings) -> Evaluation:
    """Scores the base (unless left out) and the adapter on the same items.

    Raises:
        UserError: the adapter changes no answer at all, or a model's numbers are not finite.
        Interrupted: Ctrl-C or SIGTERM; the answers so far are kept.
    """
    started = time.monotonic()
    if any(counting.programs for counting in loaded.counting.values()):
        require_an_isolating_runtime()
    judge = _judge(loaded, settings)
    if judge is not None:
        judge.require_an_answer()
    notes = cap_new_tokens(loaded.tasks, context_window(subject.base.directory))
    asked = {variant: ask(variant, subject, loaded, models, settings) for variant in _variants(subject, settings)}
    require_that_the_adapter_acts({variant: answers.logged for variant, answers in asked.items()})
    notes += cut_prompts(subject.base.directory, _any_entries(asked))
    by_task = {name: _samples(loaded, task, asked, settings, judge) for name, task in loaded.tasks.items()}
    samples = tuple(sample for given in by_task.values() for one in given.samples.values() for sample in one)
    jsonl = to_jsonl(samples)
    differences = prompt_differences(subject.trained_with, subject.trained_prompt, loaded)
    records = {name: _record(loaded.counting[name], task, asked, by_task[name]) for name, task in loaded.tasks.items()}
    report = EvalReport(
        suite=loaded.suite.name,
        protocol="; ".join((loaded.suite.protocol, *loaded.notes, *notes)),
        notes=(*models.notes, *(differences or ())),
        prompt_differences=differences,
        created=datetime.now(UTC),
        backend=settings.backend,
        dtype=subject.dtype,
        base=subject.base.reference,
        adapter=subject.adapter_reference(),
        limit=settings.limit,
        seed=FEWSHOT_SEED,
        tasks=records,
        macro={variant: macro_average(records, variant) for variant in asked},
        groups=_groups(loaded.suite, records),
        samples_sha256=hashlib.sha256(jsonl).hexdigest(),
        seconds=time.monotonic() - started,
        versions=versions(),
    )
    counts = [(answers.asked, answers.seconds) for answers in asked.values()]
    return Evaluation(report, samples, jsonl, sum(n for n, _ in counts), sum(seconds for _, seconds in counts))


def _groups(suite: Suite, records: Mapping[str, TaskRecord]) -> dict[str, tuple[str, ...]]:
    """The suite's groups, of the tasks that were scored."""
    groups = suite.own.groups if suite.own is not None else {}
    scored = {name: tuple(task for task in tasks if task in records) for name, tasks in groups.items()}
    return {name: tasks for name, tasks in scored.items() if tasks}


def _variants(subject: Subject, settings: Settings) -> list[Variant]:
    variants: list[Variant] = ["base"] if settings.with_base or subject.adapter is None else []
    return variants + (["adapter"] if subject.adapter else [])


def _any_entries(asked: Asked) -> list[Mapping[str, Any]]:
    """lm-eval's samples of one variant: all were asked the same."""
    return [entry for entries in next(iter(asked.values())).logged.values() for entry in entries]


def _judge(loaded: LoadedTasks, settings: Settings) -> JudgeEndpoint | None:
    """The suite's judge, where a task that is scored counts by it."""
    judges = [counting.judged.judge for counting in loaded.counting.values() if counting.judged]
    return JudgeEndpoint(judges[0], settings.answers, settings.judge_key_file) if judges else None


def _samples(
    loaded: LoadedTasks, task: Any, asked: Asked, settings: Settings, judge: JudgeEndpoint | None
) -> JudgedTask:
    logged = {variant: answers.logged[task.task_name] for variant, answers in asked.items()}
    counting = loaded.counting[task.task_name]
    if counting.programs:
        with progress_bars() as progress:
            return JudgedTask(judge_completions(task, logged, settings.answers, progress, counting.reader), ())
    if judge is not None and counting.judged is not None:
        assert counting.reader is not None
        with progress_bars() as progress:
            return judge_answers(task, logged, counting.judged, counting.reader, judge, progress)
    return JudgedTask({v: read_samples(counting, task, entries, v) for v, entries in logged.items()}, ())


def _record(counting: Counting, task: Any, asked: Asked, judged: JudgedTask) -> TaskRecord:
    name, samples = task.task_name, judged.samples
    prompts = {prompts_sha256(answers.logged[name]) for answers in asked.values()}
    assert len(prompts) == 1, "the variants were asked different things"
    majority = majority_floor(next(iter(samples.values()))) if counting.majority else None
    return TaskRecord(
        version=str(task.VERSION),
        floor=majority if counting.floor is None else counting.floor,
        documents_sha256=documents_sha256(next(iter(asked.values())).logged[name]),
        prompts_sha256=prompts.pop(),
        generation_sha256=generation_sha256(counting, task),
        judges=judged.judges,
        variants={
            variant: score_task(
                counting.metric, samples[variant], _secondary(counting, answers, name, samples[variant])
            )
            for variant, answers in asked.items()
        },
    )


def _secondary(counting: Counting, answers: Answers, task: str, samples: Sequence[Sample]) -> dict[str, float]:
    """Further scores: pass@k, or lm-eval's own, such as `acc_norm` or `exact_match,flexible-extract`."""
    if counting.programs:
        return pass_at_k(samples)
    primary = f"{counting.metric},{counting.filter}"
    others = {key: value for key, value in answers.scores[task].items() if isinstance(value, float) and key != primary}
    return {key.removesuffix(",none"): value for key, value in others.items() if "stderr" not in key}
