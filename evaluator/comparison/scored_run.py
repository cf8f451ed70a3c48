"""Reads a report with its samples, and trusts neither before they agree with each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from schemas.document import describe, sha256_of
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, Outcome, Sample, Variant
from schemas.run_directory import RunDirectory

MOST_FAULTS_SHOWN = 10
Item = tuple[int, int]
"""Document and attempt."""


@dataclass(frozen=True)
class Evaluation:
    """One run's verified report on one suite."""

    run: RunDirectory
    """Where it came from."""
    report: EvalReport
    """The scores."""
    report_sha256: str
    """Hash of report.json as read."""
    samples: tuple[Sample, ...]
    """Every item of every variant, in the order of the file."""

    @property
    def name(self) -> str:
        """The run's name, as people refer to it."""
        return self.report.adapter.name if self.report.adapter else self.run.root.resolve().name

    @cached_property
    def by_task(self) -> dict[tuple[Variant, str], dict[Item, Sample]]:
        """Samples by variant and task, then by document and attempt."""
        grouped: dict[tuple[Variant, str], dict[Item, Sample]] = {}
        for sample in self.samples:
            grouped.setdefault((sample.variant, sample.task), {})[sample.document, sample.attempt] = sample
        return grouped


@dataclass(frozen=True)
class ScoredRun:
    """One variant's answers in one evaluation: what comparisons are made of."""

    evaluation: Evaluation
    """The report."""
    variant: Variant
    """Whose answers count."""

    @property
    def name(self) -> str:
        """`base`, or the run's name."""
        return "base" if self.variant == "base" else self.evaluation.name

    def samples(self, task: str) -> dict[Item, Sample]:
        """This variant's items of one task, by document and attempt."""
        return self.evaluation.by_task[self.variant, task]


def read_evaluation(run: Path, suite: str) -> Evaluation:
    """Reads `evaluation/<suite>/{report.json,samples.jsonl}` of a run and checks one against the other.

    Raises:
        UserError: a file is missing or of another schema version, samples.jsonl is not the file the report was written
            with, an item is missing or doubled, or counts and scores do not follow from the items.
    """
    directory = RunDirectory(run)
    folder = directory.evaluation(suite)
    if not folder.is_dir():
        raise UserError(
            f"{run} has no evaluation on the suite {suite!r} (it has: {', '.join(suites_of(run)) or 'none'})",
            where=folder,
            fix=f"python -m evaluator {run} --suite {suite}",
        )
    report = EvalReport.read(folder / "report.json")
    evaluation = Evaluation(directory, report, sha256_of(folder / "report.json"), read_samples(folder, report))
    faults = list(_faults(evaluation, suite))
    if faults:
        shown = "\n".join(f"  - {fault}" for fault in faults[:MOST_FAULTS_SHOWN])
        more = f"\n  ... and {len(faults) - MOST_FAULTS_SHOWN} more" if len(faults) > MOST_FAULTS_SHOWN else ""
        raise UserError(
            f"report and samples do not agree\n{shown}{more}",
            where=folder,
            fix=f"evaluate again: python -m evaluator {run} --suite {suite}",
        )
    return evaluation


def suites_of(run: Path) -> list[str]:
    """Names of the suites a run was evaluated on, sorted."""
    return sorted(report.parent.name for report in (run / "evaluation").glob("*/report.json"))


def read_samples(folder: Path, report: EvalReport) -> tuple[Sample, ...]:
    """The lines of samples.jsonl, once its hash is the one in the report.

    Raises:
        UserError: the file is missing or changed, or a line does not fit.
    """
    path = folder / "samples.jsonl"
    if not path.is_file():
        raise UserError("the report has no samples.jsonl beside it", where=folder, fix="evaluate again")
    if sha256_of(path) != report.samples_sha256:
        raise UserError(
            "samples.jsonl is not the file this report was written with (sha256 differs)",
            where=path,
            fix="evaluate again; neither file may be edited",
        )
    samples = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                samples.append(Sample.model_validate_json(line))
            except ValidationError as error:
                raise UserError(
                    f"a sample does not fit its schema\n{describe(error)}", where=f"{path}:{number}"
                ) from None
    return tuple(samples)


def _faults(evaluation: Evaluation, suite: str) -> Iterator[str]:
    report = evaluation.report
    if report.suite != suite:
        yield f"the report is of the suite {report.suite!r}"
    yield from _twins(evaluation)
    counted = Counter((sample.variant, sample.task, sample.document, sample.attempt) for sample in evaluation.samples)
    yield from (f"{task} item {item}, {variant}: {n} times" for (variant, task, item, _), n in counted.items() if n > 1)
    expected = {(variant, task) for task, record in report.tasks.items() for variant in record.variants}
    yield from (
        f"{task}, {variant}: samples, but no score" for variant, task in sorted(evaluation.by_task.keys() - expected)
    )
    for task, record in report.tasks.items():
        if set(record.variants) != set(report.macro):
            yield f"{task}: scored for {sorted(record.variants)}, the macro average for {sorted(report.macro)}"
        for variant in record.variants:
            yield from _task_faults(evaluation, task, variant)
    for variant, macro in report.macro.items():
        scores = [record.variants[variant].score for record in report.tasks.values() if variant in record.variants]
        if scores and not math.isclose(macro, math.fsum(scores) / len(scores), abs_tol=1e-9):
            yield f"macro average, {variant}: {macro} is not the mean of the tasks' scores"


def _twins(evaluation: Evaluation) -> Iterator[str]:
    """Tasks that ask the same and count it alike: an average over them would count each item twice."""
    first: dict[object, str] = {}
    for task, record in evaluation.report.tasks.items():
        variant = next(iter(record.variants))
        asked = frozenset(sample.prompt for sample in evaluation.by_task.get((variant, task), {}).values())
        rubric = record.generation_sha256 if record.judges else None  # judges may be asked for several things
        alike = (asked, record.variants[variant].metric, rubric)
        if asked and first.setdefault(alike, task) != task:
            yield f"{first[alike]} and {task} ask the same questions"


def _task_faults(evaluation: Evaluation, task: str, variant: Variant) -> Iterator[str]:
    score = evaluation.report.tasks[task].variants[variant]
    samples = evaluation.by_task.get((variant, task), {})
    if len(samples) != score.total:
        yield f"{task}, {variant}: {score.total} items scored, {len(samples)} in samples.jsonl"
    found = Counter(sample.outcome for sample in samples.values())
    for outcome in get_args(Outcome):
        if found[outcome] != getattr(score, outcome):
            yield f"{task}, {variant}: {getattr(score, outcome)} {outcome} in the report, {found[outcome]} in samples.jsonl"
    mean = math.fsum(sample.value for sample in samples.values()) / score.total
    if not math.isclose(score.score, mean, abs_tol=1e-9):
        yield f"{task}, {variant}: score {score.score} is not the mean of its items, {mean}"
