"""The verdict as Markdown: decision first, and no text of a run breaks its table."""

from __future__ import annotations

from pathlib import Path

from evaluator.gate.markdown import table
from schemas.evaluation.verdict import Verdict
from tests.evaluator.commands.test_gate import QUICKSTART, judge

Runs = dict[str, Path]


def test_markdown_leads_with_the_decision_and_says_why(runs: Runs) -> None:
    judge(runs["worse"], runs["lora"], QUICKSTART)
    text = (runs["worse"] / "verdict.md").read_text()
    verdict = Verdict.read(runs["worse"] / "verdict.json")
    assert text.startswith("## ❌ rejected: worse\n")
    assert verdict.reason in text
    assert all(check.reason in text for check in verdict.checks if check.subject == "macro")


def test_bars_and_tags_in_a_cell_stay_text() -> None:
    text = table(("a", "b"), [("1 | 2", "<script>")])
    assert text.splitlines()[2] == "| 1 \\| 2 | &lt;script&gt; |"
