"""A verdict as a table on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.verdict import Comparison, Difference, Verdict

COLOURS = {"pass": "green", "rejected": "red", "inconclusive": "yellow"}


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Checks, paired figures and the decision, the decision last, where eyes rest."""
    console.print(_checks(verdict))
    for comparison in verdict.comparisons:
        console.print(_comparison(comparison))
        for note in comparison.notes:
            console.print(Text(f"  {note}", style="dim"))
    console.print(Text.assemble((f"{verdict.decision}: ", f"bold {COLOURS[verdict.decision]}"), verdict.reason))


def _checks(verdict: Verdict) -> Table:
    table = Table(title=f"Gate: {verdict.adapter.name} under the policy {verdict.policy.name}", title_justify="left")
    for column in ("suite", "check", "decision", "why"):
        table.add_column(column)
    for check in verdict.checks:
        decision = Text(check.decision, style=COLOURS[check.decision])
        table.add_row(check.suite, check.kind.replace("_", "-"), decision, Text(check.reason))
    return table


def _comparison(comparison: Comparison) -> Table:
    title = f"{comparison.suite}: {' + '.join(comparison.candidates)} against {' + '.join(comparison.opponents)}"
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    columns = ("items", "opponent", "adapter", "fixed", "broken", "points", "interval", "p (Holm)", "detectable")
    for column in columns:
        table.add_column(column, justify="right")
    for name, task in comparison.tasks.items():
        table.add_row(
            name,
            str(task.items),
            f"{task.opponent:.1%}",
            f"{task.candidate:.1%}",
            str(task.fixed),
            str(task.broken),
            *_difference_cells(task.difference, task.p_holm),
        )
    table.add_section()
    table.add_row("macro average", *[""] * 5, *_difference_cells(comparison.macro, comparison.macro.p_value))
    return table


def _difference_cells(difference: Difference, p_value: float) -> tuple[str, str, str, str]:
    return (
        f"{difference.estimate * 100:+.1f}",
        f"{difference.interval.low * 100:+.1f} to {difference.interval.high * 100:+.1f}",
        f"{p_value:.3g}",
        f"{difference.minimum_detectable_effect * 100:.1f}",
    )
