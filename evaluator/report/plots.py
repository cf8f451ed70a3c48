"""The report's four plots. Sides keep their colour in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from markupsafe import Markup

from evaluator.comparison.summary import Summary, SummaryRow
from evaluator.gate.table import points
from evaluator.report.themed_svg import INK, MUTED, PAPER, figure, series_colour, to_svg
from evaluator.scoring.metrics import wilson_interval
from evaluator.tasks.names import short_names
from schemas.evaluation.verdict import Comparison
from schemas.training.training_metrics import TrainingMetrics


@dataclass(frozen=True)
class Plot:
    """One figure of the page."""

    title: str
    """What it shows."""
    caption: str
    """How to read it."""
    svg: Markup
    """The figure."""


def task_bars(result: Summary) -> Plot:
    """Per-task accuracy of every group with Wilson intervals, and the floor of always giving the most frequent answer."""
    records = result.rows[0].group.runs[0].evaluation.report.tasks
    names, count = short_names(records), len(result.rows)
    thickness = 0.8 / count
    with figure(0.7 + len(records) * (0.2 * count + 0.16)) as drawn:
        axes = drawn.subplots()
        for index, row in enumerate(result.rows):
            places = np.arange(len(records)) + (index - (count - 1) / 2) * thickness
            scores = np.array([row.tasks[task] for task in records]) * 100
            intervals = [_interval(row, task) for task in records]
            reach = np.abs(np.array(intervals).T - scores)
            axes.barh(places, scores, thickness * 0.86, color=series_colour(index), label=row.group.label)
            axes.errorbar(scores, places, xerr=reach, fmt="none", ecolor=INK, elinewidth=1)
        for place, record in enumerate(records.values()):
            if record.floor is not None:
                axes.plot(
                    [record.floor * 100] * 2,
                    [place - 0.46, place + 0.46],
                    color=INK,
                    linestyle=(0, (2, 2)),
                    linewidth=1.2,
                )
        axes.set_yticks(range(len(records)), list(names.values()))
        axes.set_xlim(0, 100)
        axes.set_ylim(len(records) - 0.4, -0.6)
        axes.set_xlabel("correct, %")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(count, 4), fontsize=10)
        svg = to_svg(drawn, f"bars-{result.suite}", f"Accuracy per task on {result.suite}")
    caption = "Lines: 95 % intervals (Wilson's; by bootstrap where items have partial scores). Dashes: the floor, always giving the most frequent answer."
    return Plot("Accuracy per task", caption, svg)


def forest(comparison: Comparison, label: str, baseline: str, margins: Sequence[float], colour: int) -> Plot:
    """Paired differences with intervals, the macro average as a diamond; `margins` are the gate's thresholds."""
    names = short_names(comparison.tasks)
    rows = [(names[task], paired.difference) for task, paired in comparison.tasks.items()]
    with figure(0.8 + 0.27 * (len(rows) + 1)) as drawn:
        axes = drawn.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for margin in margins:
            axes.axvline(margin * 100, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for place, (_, difference) in enumerate([*rows, ("", comparison.macro)]):
            is_macro = place == len(rows)
            interval, ink = difference.interval, series_colour(colour)
            axes.plot(
                [interval.low * 100, interval.high * 100], [place] * 2, color=ink, linewidth=3 if is_macro else 1.6
            )
            marker, size = ("D", 8) if is_macro else ("o", 6)
            axes.plot(difference.estimate * 100, place, marker, markersize=size, color=ink, markeredgecolor=PAPER)
        axes.set_yticks(range(len(rows) + 1), [*(name for name, _ in rows), "macro average"])
        axes.set_ylim(len(rows) + 0.6, -0.6)
        axes.set_xlabel(f"percentage points, {label} minus {baseline}")
        values = axes.secondary_yaxis("right")
        values.set_yticks(
            range(len(rows) + 1), [points(d) for d in [*(d for _, d in rows), comparison.macro]], fontsize=10
        )
        values.tick_params(right=False)
        values.spines["right"].set_visible(False)
        svg = to_svg(drawn, f"forest-{comparison.suite}-{baseline}", f"Paired differences, {label} minus {baseline}")
    shown = comparison.macro.minimum_detectable_effect * 100
    dashes = " Dashes: the gate's margin." if margins else ""
    caption = f"95 % intervals on the same items. On the average, {shown:.1f} points could have been detected.{dashes}"
    return Plot(f"{label} against {baseline}", caption, svg)


def unparsed_cost(result: Summary) -> Plot:
    """Score as counted, and among parsed answers: the gap is what unparsed output costs, at most."""
    tasks, count = list(result.rows[0].tasks), len(result.rows)
    names = short_names(tasks)
    with figure(0.9 + len(tasks) * (0.16 * count + 0.14)) as drawn:
        axes = drawn.subplots()
        for index, row in enumerate(result.rows):
            colour = series_colour(index)
            for task_place, task in enumerate(tasks):
                place = task_place + (index - (count - 1) / 2) * 0.8 / count
                counted, parsed, share = _parsed(row, task)
                axes.plot([counted * 100, parsed * 100], [place] * 2, color=colour, linewidth=3, alpha=0.45)
                axes.plot(counted * 100, place, "o", color=colour, markersize=5)
                axes.plot(
                    parsed * 100, place, "o", color=PAPER, markeredgecolor=colour, markeredgewidth=1.4, markersize=5
                )
                if share >= 0.005:
                    axes.annotate(
                        f"{share:.0%}",
                        (max(counted, parsed) * 100, place),
                        (6, -3),
                        textcoords="offset points",
                        fontsize=9,
                        color=MUTED,
                    )
            axes.plot([], [], "o", color=colour, label=row.group.label)
        axes.set_yticks(range(len(tasks)), list(names.values()))
        axes.set_xlim(0, 108)
        axes.set_ylim(len(tasks) - 0.4, -0.6)
        axes.set_xlabel("correct, %")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(count, 4), fontsize=10)
        svg = to_svg(
            drawn, f"unparsed-{result.suite}", f"Accuracy as counted and among parsed answers on {result.suite}"
        )
    caption = "Full dot: as counted, unparsed answers wrong. Open dot: among parsed answers. Figures: share unparsed."
    return Plot("What unparsed answers cost", caption, svg)


def loss_curves(runs: Mapping[str, Sequence[TrainingMetrics]], colours: Mapping[str, int]) -> Plot:
    """Training loss of each run; the echo path dashed, validation loss as dots."""
    with figure(3.6) as drawn:
        axes = drawn.subplots()
        axes.grid(visible=True, axis="y")
        for run, lines in runs.items():
            colour = series_colour(colours[run])
            for field, style, note in (("loss", "-", ""), ("echo_loss", (0, (3, 2)), ", echo path")):
                points = [(line.step, getattr(line, field)) for line in lines if getattr(line, field) is not None]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), color=colour, linestyle=style, label=run + note, linewidth=1.5
                    )
            validation = [(line.step, line.validation_loss) for line in lines if line.validation_loss is not None]
            if validation:
                axes.plot(
                    *zip(*validation, strict=True), "o", color=colour, markeredgecolor=PAPER, label=f"{run}, validation"
                )
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("nats per supervised token")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        svg = to_svg(drawn, "loss", "Training loss by optimizer step")
    has_echo = any(line.echo_loss is not None for lines in runs.values() for line in lines)
    echo = "; dashed: the echo path, which is thrown away" if has_echo else ""
    return Plot("Training loss", f"Cross-entropy of the path that ships; dots: on validation rows{echo}.", svg)


def _interval(row: SummaryRow, task: str) -> tuple[float, float]:
    scores = [one.evaluation.report.tasks[task].variants[one.variant] for one in row.group.runs]
    if any(score.partial for score in scores):
        return fmean(score.interval.low for score in scores) * 100, fmean(score.interval.high for score in scores) * 100
    total = scores[0].total
    interval = wilson_interval(round(row.tasks[task] * total), total, 0.95)
    return interval.low * 100, interval.high * 100


def _parsed(row: SummaryRow, task: str) -> tuple[float, float, float]:
    """Score as counted, score among parsed answers, share unparsed; over all runs of the group."""
    scores = [one.evaluation.report.tasks[task].variants[one.variant] for one in row.group.runs]
    total, points = sum(score.total for score in scores), sum(score.score * score.total for score in scores)
    unparsed = sum(score.unparsed for score in scores)
    parsed = total - unparsed
    return points / total, points / parsed if parsed else 0.0, unparsed / total
