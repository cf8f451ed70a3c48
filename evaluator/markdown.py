"""A verdict as Markdown, for a pull request or a CI job's summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from schemas.verdict import Comparison, Verdict

SIGNS = {"pass": "✅ pass", "rejected": "❌ rejected", "inconclusive": "❔ inconclusive"}


def to_markdown(verdict: Verdict) -> str:
    """Decision first, then the checks, then the paired figures folded away."""
    parts = [
        f"## {SIGNS[verdict.decision]}: {_escape(verdict.adapter.name)}",
        verdict.reason,
        _table(
            ("", "suite", "check", "why"),
            ((SIGNS[c.decision], c.suite, c.kind.replace("_", "-"), c.reason) for c in verdict.checks),
        ),
        *(_comparison(comparison) for comparison in verdict.comparisons),
        "\n".join(_footnotes(verdict)),
    ]
    return "\n\n".join(parts) + "\n"


def _comparison(comparison: Comparison) -> str:
    title = f"{comparison.suite}: {' + '.join(comparison.candidates)} against {' + '.join(comparison.opponents)}"
    macro = comparison.macro
    rows = [
        (
            name,
            f"{task.items}",
            f"{task.opponent:.1%}",
            f"{task.candidate:.1%}",
            f"{task.fixed} / {task.broken}",
            _points(task.difference.estimate),
            f"{_points(task.difference.interval.low)} to {_points(task.difference.interval.high)}",
            f"{task.p_holm:.3g}",
            f"{task.difference.minimum_detectable_effect * 100:.1f}",
        )
        for name, task in comparison.tasks.items()
    ]
    total = (
        "**macro**",
        f"{sum(task.items for task in comparison.tasks.values())}",
        "",
        "",
        "",
        f"**{_points(macro.estimate)}**",
        f"{_points(macro.interval.low)} to {_points(macro.interval.high)}",
        f"{macro.p_value:.3g}",
        f"{macro.minimum_detectable_effect * 100:.1f}",
    )
    head = ("task", "items", "opponent", "adapter", "fixed / broken", "points", "interval", "p (Holm)", "detectable")
    notes = "".join(f"\n\n_{_escape(note)}_" for note in comparison.notes)
    return f"<details><summary>{_escape(title)}</summary>\n\n{_table(head, [*rows, total])}{notes}\n\n</details>"


def _footnotes(verdict: Verdict) -> Iterator[str]:
    yield f"Policy `{verdict.policy.name}` ({verdict.policy.sha256[:12]}), {verdict.created:%Y-%m-%d %H:%M} UTC, "
    yield f"adapter manifest `{verdict.adapter.manifest_sha256[:12]}`."
    if verdict.suites_left_out:
        yield f"Not evaluated, and not required: {', '.join(verdict.suites_left_out)}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _points(fraction: float) -> str:
    return f"{fraction * 100:+.1f}"
