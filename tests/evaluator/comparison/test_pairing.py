"""What a run may be compared with: its own base, named runs, and only whole reports of the adapter that is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from tests.evaluator.commands.test_gate import NOT_WORSE, judge

Runs = dict[str, Path]
Policy = Callable[..., Path]
Edit = Callable[..., None]


def test_the_report_of_another_adapter_is_refused(runs: Runs, policy: Policy) -> None:
    (runs["echo"] / "adapter").mkdir()
    (runs["echo"] / "adapter/manifest.json").write_text("{}")
    with pytest.raises(UserError, match="report is of another adapter"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_required_task_that_is_not_in_the_report_is_refused(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="required tasks are not in the report: winogrande"):
        judge(runs["echo"], runs["lora"], policy("kind: unparsed, limit: 5", tasks="[boolq, winogrande]"))


def test_a_report_without_the_base_is_not_compared_with_it(runs: Runs, policy: Policy, edit: Edit) -> None:
    def forget_the_base(report: dict[str, Any]) -> None:
        report["macro"].pop("base")
        for record in report["tasks"].values():
            record["variants"].pop("base")

    samples = runs["echo"] / "evaluation/quickstart/samples.jsonl"
    kept = [line for line in samples.read_text().splitlines(keepends=True) if '"variant":"adapter"' in line]
    samples.write_text("".join(kept))
    edit(runs["echo"], forget_the_base)
    with pytest.raises(UserError, match="does not score the base"):
        judge(runs["echo"], "base", policy(NOT_WORSE))
