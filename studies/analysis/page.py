"""The study as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.commands.report import environment
from evaluator.report.contents import read_metrics
from evaluator.report.plots import Plot
from evaluator.tasks.names import short_names
from schemas.studies.study_report import StudyReport
from studies.analysis.plots import Curves, accuracy_by_compute, forest, learning_curves
from studies.analysis.results import Results
from studies.analysis.summary import SIGNS, changes


@dataclass(frozen=True)
class HeatRow:
    """One row of the heat map."""

    label: str
    """Base and arm."""
    cells: tuple[tuple[str, int], ...]
    """Accuracy as text, and how strongly to colour it, 0 to 100."""


def study_page(report: StudyReport, curves: Curves) -> str:
    """The page's HTML; without the runs' metrics it has no learning curves."""
    return (
        environment(("studies", "analysis"))
        .get_template("study.html.j2")
        .render(
            report=report,
            title=f"Study: {report.study.name}",
            lead=headline(report),
            changes=changes(report).replace("*", ""),
            signs=SIGNS,
            tasks=list(short_names(report.documents_sha256).values()),
            heat=heat_map(report),
            plots=_plots(report, curves),
        )
    )


def headline(report: StudyReport) -> str:
    """What was found, contrast by contrast, in one sentence each."""
    many = len(report.bases) > 1
    return " ".join(
        f"{one.candidate} against {one.baseline}{f' on {one.base}' if many else ''}: {one.sentence}."
        for one in report.contrasts[:3]
    )


def heat_map(report: StudyReport) -> list[HeatRow]:
    """Accuracy by arm and task, coloured between the lowest and the highest of each task."""
    rows = [(f"{one.base} (no adapter)", one.tasks) for one in report.bases]
    rows += [(f"{one.base} {one.arm}" if len(report.bases) > 1 else one.arm, one.tasks) for one in report.arms]
    trained = [tasks for _, tasks in rows[len(report.bases) :]]
    ends = {task: (min(one[task] for one in trained), max(one[task] for one in trained)) for task in trained[0]}
    return [
        HeatRow(label, tuple((f"{tasks[task] * 100:.1f}", _strength(tasks[task], *ends[task])) for task in ends))
        for label, tasks in rows
    ]


def _strength(value: float, low: float, high: float) -> int:
    return 0 if high == low else max(0, round(100 * (value - low) / (high - low)))


def curves_of(results: Results) -> Curves:
    """Every run's metrics, by base and arm."""
    return {
        key: [read_metrics(run.scored_run.evaluation.run.metrics) for run in by_seed.values()]
        for key, by_seed in results.runs.items()
    }


def _plots(report: StudyReport, curves: Curves) -> list[Plot]:
    plots: list[Plot | None] = [forest(report)]
    for base in report.study.bases:
        plots += [accuracy_by_compute(report, base), learning_curves(curves, base)]
    return [plot for plot in plots if plot is not None]
