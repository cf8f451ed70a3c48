"""The study page's plots: planned differences, learning curves, accuracy against compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from evaluator.gate.table import points
from evaluator.report.plots import Plot
from evaluator.report.themed_svg import INK, MUTED, PAPER, SERIES, figure, series_colour, to_svg
from schemas.studies.study_report import ContrastOutcome, StudyReport
from schemas.training.training_metrics import TrainingMetrics

Curves = Mapping[tuple[str, str], Sequence[Sequence[TrainingMetrics]]]
"""By base and arm, the metrics of each seed's run."""
_STYLES = ("-", (0, (4, 2)), (0, (1, 1.5)))
_FINDINGS = {"different": SERIES[2], "equivalent": SERIES[4], "inconclusive": MUTED, "not_tested": MUTED}


def forest(report: StudyReport) -> Plot:
    """Every planned contrast: estimate, interval, each seed's difference, and its margin."""
    rows = report.contrasts
    with figure(1.0 + 0.34 * len(rows)) as drawn:
        axes = drawn.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for place, one in enumerate(rows):
            _forest_row(axes, place, one)
        many = len(report.bases) > 1
        labels = [f"{one.candidate} − {one.baseline}" + (f", {one.base}" if many else "") for one in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("points of macro accuracy")
        values = axes.secondary_yaxis("right")
        values.set_yticks(range(len(rows)), [points(one.macro).replace("-", "−") for one in rows], fontsize=10)
        values.tick_params(right=False)
        values.spines["right"].set_visible(False)
        svg = to_svg(drawn, "study-forest", "Paired differences of the planned contrasts")
    level = 1 - report.study.analysis.level
    caption = (
        f"Diamonds and lines: mean difference with its {level:.0%} interval; small dots: single seeds; brackets: the margin. "
        "Colour: different, equivalent (green), inconclusive (grey)."
    )
    return Plot("Planned contrasts", caption, svg)


def _forest_row(axes, place: int, one: ContrastOutcome) -> None:  # type: ignore[no-untyped-def]
    ink, interval = _FINDINGS[one.finding], one.macro.interval
    for side in (-1, 1):
        axes.plot([side * one.margin * 100] * 2, [place - 0.22, place + 0.22], color=MUTED, linewidth=1)
    seeds = [value * 100 for value in one.by_seed.values()]
    axes.plot(seeds, [place + 0.2] * len(seeds), "o", markersize=3, color=MUTED)
    axes.plot([interval.low * 100, interval.high * 100], [place] * 2, color=ink, linewidth=2.4)
    axes.plot(one.macro.estimate * 100, place, "D", markersize=7, color=ink, markeredgecolor=PAPER)


def learning_curves(curves: Curves, base: str) -> Plot | None:
    """Mean training loss of each arm over its seeds, by optimizer step; None without metrics."""
    lines = {arm: _mean_loss(runs) for (of, arm), runs in curves.items() if of == base}
    if not any(lines.values()):
        return None
    with figure(3.8) as drawn:
        axes = drawn.subplots()
        axes.grid(visible=True, axis="y")
        for index, (arm, curve) in enumerate(lines.items()):
            style = _STYLES[index // len(SERIES) % len(_STYLES)]
            axes.plot(
                list(curve), list(curve.values()), color=series_colour(index), linestyle=style, label=arm, linewidth=1.5
            )
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("nats per supervised token")
        axes.set_yscale("log")
        axes.legend(fontsize=9, ncols=2)
        svg = to_svg(drawn, f"study-loss-{base}", f"Training loss by optimizer step on {base}")
    caption = (
        "Cross-entropy of the path that ships, mean over seeds. Arms that learn the prompt too have another scale."
    )
    return Plot(f"Learning curves, {base}", caption, svg)


def _mean_loss(runs: Sequence[Sequence[TrainingMetrics]]) -> dict[int, float]:
    """Mean over the seeds at every step that all of them logged."""
    logged = [{line.step: line.loss for line in run if line.loss is not None} for run in runs]
    shared = set.intersection(*map(set, logged)) if logged else set()
    return {step: fmean(one[step] for one in logged) for step in sorted(shared)}


def accuracy_by_compute(report: StudyReport, base: str) -> Plot:
    """Each seed's accuracy against the counted compute of its training; a larger mark for the mean."""
    arms = [one for one in report.arms if one.base == base]
    with figure(3.8) as drawn:
        axes = drawn.subplots()
        axes.grid(visible=True, axis="both")
        for index, one in enumerate(arms):
            x, ink = one.cost.flops / 1e12, series_colour(index)
            scores = [score * 100 for score in one.scores.values()]
            marker = ("o", "s", "^")[index // len(SERIES) % 3]
            axes.plot([x] * len(scores), scores, marker, markersize=3, color=ink, linestyle="none", alpha=0.6)
            axes.plot(
                x,
                one.mean * 100,
                marker,
                markersize=8,
                color=ink,
                markeredgecolor=PAPER,
                linestyle="none",
                label=one.arm,
            )
        axes.set_xlabel("counted training compute, 10^12 operations")
        axes.set_ylabel("macro accuracy, %")
        axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        svg = to_svg(drawn, f"study-compute-{base}", f"Macro accuracy against training compute on {base}")
    return Plot(f"Accuracy against compute, {base}", "Large marks: means over seeds; small ones: single seeds.", svg)
