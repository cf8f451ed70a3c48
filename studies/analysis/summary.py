"""The report as Markdown for a README: the answers first, then the arms, then what it took and could have shown."""

from __future__ import annotations

from collections.abc import Iterator

from evaluator.gate.markdown import table
from evaluator.gate.plain_text import Formatted, markdown
from evaluator.gate.table import p_text, points
from schemas.studies.study_report import ContrastOutcome, StudyReport
from studies.analysis.power import design_words

SIGNS = {
    "different": "different",
    "equivalent": "no such difference",
    "inconclusive": "inconclusive",
    "not_tested": "not tested",
}


def summary(report: StudyReport) -> str:
    """The whole text."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def _parts(report: StudyReport) -> Iterator[str]:
    study = report.study
    yield f"# Study: {markdown(study.name)}"
    yield (
        f"Plan `{report.protocol_sha256[:12]}`, registered {report.registered:%Y-%m-%d %H:%M} UTC before the first run; "
        f"{changes(report)}. {len(study.seeds)} seeds per arm, {_items(report)} test items on suite {study.evaluation.suite_name}, "
        "the same for all arms; macro accuracy in points; paired by seed and item, intervals from a hierarchical bootstrap, "
        f"p-values under Holm over {len(report.contrasts)} planned contrasts."
    )
    if study.history:
        looks = sum(one.looks for one in study.history)
        listed = "; ".join(
            f"{one.study} (`{one.plan[:12]}`, {one.looks}): {markdown(one.finding)}" for one in study.history
        )
        yield f"The question was asked before, in {len(study.history)} studies with {looks} looks: {listed}."
    yield "## What was asked, what was found"
    head = (
        "question",
        "contrast",
        "points [95 % interval]",
        "p (Holm)",
        "p (Holm) of more than the margin",
        "detectable",
        "finding",
    )
    yield table(head, [_contrast(one, many=len(report.bases) > 1) for one in report.contrasts])
    yield "## Arms"
    yield table(*_arms(report))
    yield "## Power"
    yield "\n".join(_power(report))
    expected = list(_expectations(report))
    if expected:
        yield "## Published figures, for comparison\n\n" + "\n".join(expected)
    yield "\n".join(_notes(report))


def changes(report: StudyReport) -> str:
    """Whether the plan was kept."""
    if not report.amendments:
        return "not changed since"
    count = len(report.amendments)
    reasons = "; ".join(f"{one.reason} ({one.runs_finished} runs were finished)" for one in report.amendments)
    return f"**changed {count} time{'' if count == 1 else 's'} since**: {markdown(reasons)}"


def _contrast(one: ContrastOutcome, *, many: bool) -> tuple[str, ...]:
    return (
        one.asks,
        f"{one.candidate} - {one.baseline}" + (f" on {one.base}" if many else ""),
        points(one.macro),
        p_text(one.p_holm),
        f"{p_text(one.p_equivalence_holm)} (margin {one.margin * 100:g})",
        f"{one.power.minimum_detectable_effect * 100:.1f}",
        Formatted(f"**{SIGNS[one.finding]}**"),
    )


def _arms(report: StudyReport) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = ("base", "arm", "macro", "sd over seeds", "learning rate", "steps", "10^12 operations", "ships", "training only",
            "unparsed")  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (one.base, "(no adapter)", f"{one.macro * 100:.1f}", "", "", "", "", "", "", "") for one in report.bases
    ]
    for one in report.arms:
        spread = "" if one.deviation is None else f"{one.deviation * 100:.1f}"
        cost = one.cost
        rows.append(
            (one.base, one.arm, f"{one.mean * 100:.1f}", spread, f"{one.learning_rate:g}", f"{cost.steps:,}",
             f"{cost.flops / 1e12:,.4g}", f"{cost.adapter_parameters:,}", f"{cost.echo_parameters:,}",
             f"{one.unparsed:.1%}")
        )  # fmt: skip
    return head, rows


def _power(report: StudyReport) -> Iterator[str]:
    for one in report.contrasts:
        power = one.power
        if power.seed_deviation is None:
            yield f"- {one.name} on {one.base}: one seed; nothing is known about other seeds."
            continue
        design = (power.design_seeds, power.design_items_factor)
        words = design_words(None if design[0] is None or design[1] is None else (design[0], design[1]))
        yield (
            f"- {one.name} on {one.base}: differences between seeds vary by {power.seed_deviation * 100:.2f} points, item error "
            f"{power.item_error * 100:.2f}; seeing {power.wanted * 100:g} would take {words}."
        )


def _expectations(report: StudyReport) -> Iterator[str]:
    means = {(one.base, one.arm): one.mean for one in report.arms}
    for one in report.study.expectations:
        here = means[one.base, one.arm]
        if one.over is None:
            figures = f"{one.arm}: {here * 100:.1f} here, {one.macro * 100:.1f} published"
        else:
            gain = here - means[one.base, one.over]
            figures = f"{one.arm} - {one.over}: {gain * 100:+z.1f} here, {one.macro * 100:+z.1f} published"
        yield f"- {one.base} {figures} ({markdown(one.source)})"


def _notes(report: StudyReport) -> Iterator[str]:
    devices = ", ".join(dict.fromkeys(one.device for one in report.arms))
    edges = [f"{one.arm} on {one.base} ({one.rate:g})" for one in report.rates if one.at_edge]
    tuned = len(report.study.tuning.grid) > 1
    grid = ", ".join(f"{rate:g}" for rate in report.study.tuning.grid)
    chosen = (
        f"by {report.study.tuning.criterion.replace('_', ' ')} from {grid}" if tuned else f"not tuned: {grid} for all"
    )
    yield f"Trained on {markdown(devices)}. Learning rates {chosen}."
    if edges:
        yield f"At an end of the grid, so a wider one could do better: {', '.join(edges)}."
    for note in report.notes:
        yield f"_{markdown(note)}_"


def _items(report: StudyReport) -> str:
    return f"{sum(report.bases[0].items.values()):,}"
