"""The scores for people: one line per task, with its floor, its unparsed answers and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table

from schemas.evaluation.eval_report import EvalReport, TaskScore


def score_table(report: EvalReport) -> Table:
    """Task, base, adapter, floor, unparsed and unscored counts, and the adapter's interval (the base's without one)."""
    subject = report.adapter.name if report.adapter else report.base.name.rstrip("/").split("/")[-1]
    table = Table(title=f"{subject} on {report.suite} ({report.backend}, {report.dtype})", caption=report.protocol)
    for heading in ("task", "items", "base", "adapter", "floor", "unparsed", "unscored", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for name, record in report.tasks.items():
        main = record.variants.get("adapter") or record.variants["base"]
        table.add_row(
            name,
            str(main.total),
            _percent(record.variants.get("base")),
            _percent(record.variants.get("adapter")),
            "-" if record.floor is None else f"{100 * record.floor:.1f}",
            _count(record.variants.get("base"), record.variants.get("adapter"), "unparsed"),
            _count(record.variants.get("base"), record.variants.get("adapter"), "unscored"),
            f"{100 * main.interval.low:.1f} - {100 * main.interval.high:.1f}",
        )
    macro = [
        f"{100 * report.macro[variant]:.1f}" if variant in report.macro else "-" for variant in ("base", "adapter")
    ]
    table.add_section()
    for name, tasks in report.groups.items():
        table.add_row(f"mean of {name}", "", *_means(report, tasks), "", "", "", "")
    table.add_row("macro average", "", *macro, "", "", "", "")
    if len(report.tasks) > 1:
        table.add_row("all items", *_all_items(report), "", "", "", "")
    return table


def _all_items(report: EvalReport) -> list[str]:
    """Number of items, and the share of them that each variant has right: larger tasks weigh more (MMLU's usual total)."""
    items = sum(next(iter(record.variants.values())).total for record in report.tasks.values())
    cells = [str(items)]
    for variant in ("base", "adapter"):
        given = [record.variants[variant] for record in report.tasks.values() if variant in record.variants]
        points = sum(score.score * score.total for score in given)
        cells.append(f"{100 * points / items:.1f}" if given else "-")
    return cells


def _means(report: EvalReport, tasks: Sequence[str]) -> list[str]:
    """Unweighted mean score of each variant over some tasks."""
    return [
        f"{100 * fmean(report.tasks[task].variants[variant].score for task in tasks):.1f}"
        if variant in report.macro
        else "-"
        for variant in ("base", "adapter")
    ]


def _percent(score: TaskScore | None) -> str:
    return "-" if score is None else f"{100 * score.score:.1f}"


def _count(base: TaskScore | None, adapter: TaskScore | None, field: str) -> str:
    return " / ".join(str(getattr(score, field)) for score in (base, adapter) if score is not None)
