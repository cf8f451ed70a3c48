"""What the report says, gathered from the runs: sentences, rows, plots, facts. The template only lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evaluator.comparison.scored_run import ScoredRun
from evaluator.comparison.summary import THESE_WEIGHTS, Summary, SummaryRow, finding
from evaluator.gate.current_verdict import current_verdict
from evaluator.report.plots import Plot, forest, loss_curves, task_bars, unparsed_cost
from evaluator.tasks.names import short_names
from schemas.errors import UserError
from schemas.evaluation.verdict import Comparison, Verdict
from schemas.run_directory import RunDirectory
from schemas.serving.serving_attestation import ServingAttestation
from schemas.storage.json_files import read_json
from schemas.training.training_metrics import TrainingMetrics

HEADLINES = {"pass": "passes", "rejected": "is rejected by", "inconclusive": "cannot be decided by"}
MOST_PARTS_OF_A_FACT = 12


@dataclass(frozen=True)
class Section:
    """One suite on the page."""

    result: Summary
    """The rows."""
    task_names: dict[str, str]
    """Short names by task."""
    comparisons: tuple[tuple[str, str, Comparison], ...]
    """SeedGroup, baseline and paired figures."""
    plots: tuple[Plot, ...]
    """The figures."""
    verdict: Verdict | None
    """The gate's, on the first run."""


def section(result: Summary, subject: ScoredRun) -> Section:
    """Everything about one suite; `subject` is the run whose page this is."""
    comparisons = tuple(
        (label, baseline, comparison)
        for baseline in dict.fromkeys(name for row in result.rows for name in row.against)
        for label, comparison in result.comparisons(baseline).items()
    )
    verdict = current_verdict(subject.evaluation)
    return Section(
        result=result,
        task_names=short_names(result.rows[0].tasks),
        comparisons=comparisons,
        plots=(
            task_bars(result),
            *([unparsed_cost(result)] if any(row.unparsed for row in result.rows) else []),
            *(
                forest(c, label, baseline, _margins(verdict, c), _colour(result, label))
                for label, baseline, c in comparisons
            ),
        ),
        verdict=verdict,
    )


def headline(sections: Sequence[Section], subject: ScoredRun) -> tuple[str, str, str]:
    """Decision, headline and the sentence under it: what a reader must know who reads no further."""
    first = sections[0]
    row = next(row for row in first.result.rows if subject in row.group.runs)
    label = row.group.label
    lead = f"{row.macro:.1%} macro average on {first.result.suite}. {' '.join(_findings(first, label))}"
    verdicts = [section.verdict for section in sections if section.verdict]
    if verdicts:
        verdict = verdicts[0]
        return verdict.decision, f"{label} {HEADLINES[verdict.decision]} the gate “{verdict.policy.name}”", lead
    against = " and ".join(_words(row))
    return "none", f"{label} is {against}" if against else label, f"{lead} No gate has judged it yet."


def loss_plot(results: Sequence[Summary]) -> Plot | None:
    """Loss curves of every run that has a metrics.jsonl; None where none has."""
    lines, colours = {}, {}
    for result in results:
        for index, row in enumerate(result.rows):
            for one in row.group.runs:
                metrics = read_metrics(one.evaluation.run.metrics) if one.variant == "adapter" else []
                if metrics:
                    lines[one.name], colours[one.name] = metrics, index
    return loss_curves(lines, colours) if lines else None


def read_metrics(path: Path) -> list[TrainingMetrics]:
    """The readable lines of metrics.jsonl; a torn last line or an older field must not cost the whole page."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_bytes().splitlines():
        try:
            lines.append(TrainingMetrics.model_validate_json(line))
        except ValidationError:
            continue
    return lines


def attestation_facts(run: RunDirectory) -> list[tuple[str, str]]:
    """What the server attested, as plain names and values; long lists by their length."""
    if not run.attestation.is_file():
        return []
    try:
        return list(_facts("", read_json(run.attestation, ServingAttestation.title)))
    except UserError as error:
        return [("attestation.json", error.what)]


def _facts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and (not name or len(value) <= MOST_PARTS_OF_A_FACT) and name.count(" / ") < 2:
        for key, part in value.items():
            yield from _facts(f"{name} / {key}" if name else str(key), part)
    elif isinstance(value, (dict, list)):
        simple = (
            isinstance(value, list)
            and len(value) <= MOST_PARTS_OF_A_FACT
            and not any(isinstance(v, (dict, list)) for v in value)
        )
        yield name, ", ".join(map(str, value)) if simple else f"{len(value)} entries"
    else:
        yield name, str(value)


def _findings(suite: Section, label: str) -> Iterator[str]:
    for group, baseline, comparison in suite.comparisons:
        if group == label:
            macro, interval, found = comparison.macro, comparison.macro.interval, finding(comparison)
            yield (
                f"Against {baseline}: {macro.estimate * 100:+z.1f} points (95 % interval {interval.low * 100:+z.1f} to "
                f"{interval.high * 100:+z.1f}), {found}{f': {THESE_WEIGHTS}' if found == 'one run a side' else ''}; "
                f"{macro.minimum_detectable_effect * 100:.1f} points could have been detected."
            )


def _words(row: SummaryRow) -> Iterator[str]:
    for baseline, paired in row.against.items():
        found = finding(paired.document)
        if found != "one run a side":
            yield (
                f"not shown to differ from {baseline}" if found == "no difference shown" else f"{found} than {baseline}"
            )


def _margins(verdict: Verdict | None, comparison: Comparison) -> list[float]:
    if verdict is None:
        return []
    return [
        check.threshold
        for check in verdict.checks
        if check.suite == comparison.suite
        and check.subject == "macro"
        and check.against == comparison.baselines[0]
        and verdict.adapter.name in comparison.candidates
    ]


def _colour(result: Summary, label: str) -> int:
    return next(index for index, row in enumerate(result.rows) if row.group.label == label)
