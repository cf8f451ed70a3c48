"""Whether two reports may be compared at all: the same items, asked in the same words, answered under the same rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evaluator.comparison.scored_run import ScoredRun
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, TaskRecord

RULES = ("suite", "protocol", "limit")
TASK_RULES = ("version", "documents_sha256", "prompts_sha256", "generation_sha256", "judges")
HARMLESS = ("backend", "dtype", "seed", "notes")


def require_comparable(scored_runs: Sequence[ScoredRun]) -> tuple[str, ...]:
    """Holds every scored_run against the first and returns what differs without harm, as notes.

    Raises:
        UserError: with every difference that makes a paired comparison meaningless.
    """
    first, *others = scored_runs
    differences = [
        f"{first.evaluation.name} / {other.evaluation.name}: {difference}"
        for other in others
        for difference in [
            *report_differences(first.evaluation.report, other.evaluation.report),
            *_pairing(first, other),
        ]
    ]
    if differences:
        listed = "\n".join(f"  - {difference}" for difference in dict.fromkeys(differences))
        raise UserError(
            f"these reports cannot be compared item by item\n{listed}",
            where=", ".join(dict.fromkeys(str(one.evaluation.run.root) for one in scored_runs)),
            fix="evaluate all runs with the same suite, limit and release",
        )
    return tuple(_notes([one.evaluation.report for one in scored_runs]))


def report_differences(one: EvalReport, other: EvalReport) -> Iterator[str]:
    """Every rule of scoring in which two reports differ, one sentence each."""
    for rule in RULES:
        if getattr(one, rule) != getattr(other, rule):
            yield f"{rule}: {_short(getattr(one, rule))} / {_short(getattr(other, rule))}"
    changed = one.base.changes(other.base)
    if not changed.keys() & {"configuration", "weights"}:  # another model may be a baseline, a mixed-up one not
        yield from (f"the same base with another {part}: {_short(a)} / {_short(b)}" for part, (a, b) in changed.items())
    for task in sorted(one.tasks.keys() ^ other.tasks.keys()):
        yield f"{task}: only in one of them"
    for task in sorted(one.tasks.keys() & other.tasks.keys()):
        yield from (f"{task}: {difference}" for difference in _task_differences(one.tasks[task], other.tasks[task]))


def _task_differences(one: TaskRecord, other: TaskRecord) -> Iterator[str]:
    for rule in TASK_RULES:
        if getattr(one, rule) != getattr(other, rule):
            yield f"{rule}: {_short(getattr(one, rule))} / {_short(getattr(other, rule))}"
    metrics = [sorted({score.metric for score in record.variants.values()}) for record in (one, other)]
    if metrics[0] != metrics[1]:
        yield f"metric: {', '.join(metrics[0])} / {', '.join(metrics[1])}"


def _pairing(one: ScoredRun, other: ScoredRun) -> Iterator[str]:
    """Guards the pairing itself: equal hashes promise equal items, and here each promise is kept or named."""
    for task in one.evaluation.report.tasks.keys() & other.evaluation.report.tasks.keys():
        first, second = one.samples(task), other.samples(task)
        if first.keys() != second.keys():
            yield f"{task}: {len(first.keys() ^ second.keys())} items are only in one of them"
        shared = first.keys() & second.keys()
        for field in ("target", "cluster"):
            unequal = sum(getattr(first[item], field) != getattr(second[item], field) for item in shared)
            if unequal:
                yield f"{task}: {unequal} items differ in {field}"


def _notes(reports: Iterable[EvalReport]) -> Iterator[str]:
    reports = list(reports)
    for field in HARMLESS:
        values = dict.fromkeys(getattr(report, field) for report in reports)
        if len(values) > 1:
            yield f"different {field}: {', '.join(_note(value) for value in values)}"
    if len({(report.base.config_sha256, report.base.weights_sha256) for report in reports}) > 1:
        yield f"different base model: {', '.join(dict.fromkeys(report.base.name for report in reports))}"


def _note(value: object) -> str:
    return ("; ".join(value) or "none") if isinstance(value, tuple) else str(value)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text
