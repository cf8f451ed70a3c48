"""Which reports may be compared: what makes a comparison meaningless is refused, what does not is noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict
from tests.evaluator.commands.test_gate import NOT_WORSE, judge

Runs = dict[str, Path]
Policy = Callable[..., Path]
Edit = Callable[..., None]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("documents_sha256", "0" * 64),
        ("prompts_sha256", "0" * 64),
        ("generation_sha256", "0" * 64),
        ("version", "2"),
    ],
)
def test_reports_on_different_tasks_are_not_compared(
    runs: Runs, policy: Policy, edit: Edit, field: str, value: str
) -> None:
    edit(runs["lora"], lambda report: report["tasks"]["piqa"].update({field: value}))
    with pytest.raises(UserError, match=f"piqa: {field}"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_every_difference_is_listed_at_once(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(protocol="beam4", limit=200))
    with pytest.raises(UserError, match=r"protocol: greedy / beam4\n.*limit: None / 200"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE, full="false"))


def test_another_backend_is_noted_and_not_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(backend="vllm"))
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert "different backend: hf, vllm" in Verdict.read(runs["echo"] / "verdict.json").comparisons[-1].notes


def test_a_merged_dora_is_noted_and_not_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["lora"], lambda report: report.update(notes=["DoRA merged into the base"]))
    judge(runs["echo"], runs["lora"], policy(NOT_WORSE))
    assert (
        "different notes: none, DoRA merged into the base"
        in Verdict.read(runs["echo"] / "verdict.json").comparisons[-1].notes
    )
