"""A verdict as tables on the terminal, narrow enough for 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluator.gate.plain_text import one_line
from evaluator.tasks.names import short_names
from schemas.evaluation.decision import Decision, worst
from schemas.evaluation.verdict import CheckResult, Comparison, Difference, Verdict

COLOURS = {"pass": "green", "rejected": "red", "inconclusive": "yellow"}


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Paired figures, checks, and the decision last, where eyes rest."""
    for comparison in verdict.comparisons:
        console.print(comparison_table(comparison))
        for note in comparison.notes:
            console.print(Text(f"  {one_line(note)}", style="dim"))
    console.print(_checks(verdict))
    console.print(
        Text.assemble((f"{verdict.decision}: ", f"bold {COLOURS[verdict.decision]}"), one_line(verdict.reason))
    )


def summaries(checks: Sequence[CheckResult]) -> Iterator[tuple[str, str, Decision, str]]:
    """One row per condition: suite, kind, decision and reason; of many tasks, the one nearest to failing speaks."""
    for condition in dict.fromkeys(map(_condition, checks)):
        group = [check for check in checks if _condition(check) == condition]
        decision = worst(check.decision for check in group)
        gravest = min((check for check in group if check.decision == decision), key=_slack)
        count = sum(check.decision == decision for check in group)
        more = f" ({count} of {len(group)} so, this one by the least)" if len(group) > 1 else ""
        yield group[0].suite, group[0].kind.replace("_", "-"), decision, gravest.reason + more


def comparison_table(comparison: Comparison) -> Table:
    """Task by task: scores, items fixed and broken, the difference with its interval, p and what could be detected."""
    title = f"{comparison.suite}: {' + '.join(comparison.candidates)} against {' + '.join(comparison.baselines)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("task", no_wrap=True)
    for column in ("items", "scores", "changed", r"points \[interval]", "p (Holm)", "detect"):
        table.add_column(column, justify="right", no_wrap=True)
    names = short_names(comparison.tasks)
    for name, task in comparison.tasks.items():
        scores = f"{task.baseline * 100:.1f} > {task.candidate * 100:.1f}"
        changes = f"+{task.fixed} -{task.broken}"
        table.add_row(
            Text(one_line(names[name])),
            str(task.items),
            scores,
            changes,
            *difference_cells(task.difference, task.p_holm),
        )
    table.add_section()
    for name, group in comparison.groups.items():
        cells = difference_cells(group.difference, group.difference.p_value)
        table.add_row(Text(one_line(name), style="italic"), "", "", "", *cells)
    table.add_row("macro", "", "", "", *difference_cells(comparison.macro, comparison.macro.p_value), style="bold")
    return table


def difference_cells(difference: Difference, p_value: float) -> tuple[str, str, str]:
    """Estimate with interval, p-value and detectable effect, for any table of paired differences."""
    return points(difference), p_text(p_value), f"{difference.minimum_detectable_effect * 100:.1f}"


def points(difference: Difference) -> str:
    """Such as `+1.2 [-0.3, +2.7]`, in percentage points."""
    interval = difference.interval
    return f"{difference.estimate * 100:+z.1f} [{interval.low * 100:+z.1f}, {interval.high * 100:+z.1f}]"


def p_text(p_value: float) -> str:
    """Such as `0.032`; below a ten-thousandth the digits mean nothing to anyone."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def _checks(verdict: Verdict) -> Table:
    title = f"Gate: {verdict.adapter.name} under the policy {verdict.policy.name}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("suite", "check", "decision"):
        table.add_column(column, no_wrap=True)
    table.add_column("why")
    for suite, kind, decision, reason in summaries(verdict.checks):
        table.add_row(suite, kind, Text(decision, style=COLOURS[decision]), Text(one_line(reason)))
    return table


def _condition(check: CheckResult) -> tuple[str, str, str | None, bool, int]:
    return check.suite, check.kind, check.against, check.subject == "macro", len(check.candidates)


def _slack(check: CheckResult) -> float:
    """How far the check is from failing; the unparsed rate fails upward, everything else downward."""
    if check.interval is None:
        return check.threshold - check.estimate
    return check.interval.low - check.threshold
