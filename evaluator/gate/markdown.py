"""A verdict as Markdown, for a pull request or a CI job's summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evaluator.gate.plain_text import Formatted, markdown
from evaluator.gate.table import difference_cells, summaries
from evaluator.tasks.names import short_names
from schemas.evaluation.verdict import Comparison, Verdict

SIGNS = {"pass": "✅ pass", "rejected": "❌ rejected", "inconclusive": "❔ inconclusive"}


def to_markdown(verdict: Verdict) -> str:
    """Decision first, then the checks, then the paired figures folded away."""
    parts = [
        f"## {SIGNS[verdict.decision]}: {markdown(verdict.adapter.name)}",
        markdown(verdict.reason),
        table(
            ("", "suite", "check", "why"),
            ((SIGNS[decision], suite, kind, reason) for suite, kind, decision, reason in summaries(verdict.checks)),
        ),
        *(_comparison(comparison) for comparison in verdict.comparisons),
        "\n".join(_footnotes(verdict)),
    ]
    return "\n\n".join(parts) + "\n"


def _comparison(comparison: Comparison) -> str:
    title = f"{comparison.suite}: {' + '.join(comparison.candidates)} against {' + '.join(comparison.baselines)}"
    names = short_names(comparison.tasks)
    rows = [
        (
            names[name],
            f"{task.items}",
            f"{task.baseline:.1%}",
            f"{task.candidate:.1%}",
            f"{task.fixed} / {task.broken}",
            *difference_cells(task.difference, task.p_holm),
        )
        for name, task in comparison.tasks.items()
    ]
    rows += [
        (f"{name} (group)", "", "", "", "", *difference_cells(group.difference, group.difference.p_value))
        for name, group in comparison.groups.items()
    ]
    total = (Formatted("**macro**"), "", "", "", "", *difference_cells(comparison.macro, comparison.macro.p_value))
    head = ("task", "items", "baseline", "adapter", "fixed / broken", "points [interval]", "p (Holm)", "detectable")
    notes = "".join(f"\n\n_{markdown(note)}_" for note in comparison.notes)
    return f"<details><summary>{markdown(title)}</summary>\n\n{table(head, [*rows, total])}{notes}\n\n</details>"


def _footnotes(verdict: Verdict) -> Iterator[str]:
    yield f"Policy `{verdict.policy.name}` ({verdict.policy.sha256[:12]}), {verdict.created:%Y-%m-%d %H:%M} UTC, "
    yield f"adapter manifest `{verdict.adapter.manifest_sha256[:12]}`."
    if verdict.suites_left_out:
        yield f"Not evaluated, and not required: {', '.join(verdict.suites_left_out)}."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; cells are escaped."""
    lines = [head, ["---"] * len(head), *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
