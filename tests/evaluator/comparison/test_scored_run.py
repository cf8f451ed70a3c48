"""A report is trusted once it agrees with its samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.comparison.scored_run import read_evaluation
from schemas.errors import UserError
from tests.evaluator.commands.test_gate import NOT_WORSE, judge

Runs = dict[str, Path]
Policy = Callable[..., Path]
Edit = Callable[..., None]


def test_a_missing_sample_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    samples = runs["lora"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[1:]))
    edit(runs["lora"], lambda report: None)
    with pytest.raises(UserError, match="200 items scored, 199 in"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_doubled_sample_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    samples = runs["lora"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text(samples.read_text() + samples.read_text().splitlines(keepends=True)[0])
    edit(runs["lora"], lambda report: None)
    with pytest.raises(UserError, match="boolq item 0, base: 2 times"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_samples_edited_after_the_report_are_refused(runs: Runs, policy: Policy) -> None:
    samples = runs["echo"] / "evaluation/quickstart/samples.jsonl"
    samples.write_text(samples.read_text().replace('"wrong"', '"correct"', 1))
    with pytest.raises(UserError, match="sha256 differs"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_score_that_does_not_follow_from_its_samples_is_refused(runs: Runs, policy: Policy, edit: Edit) -> None:
    edit(runs["echo"], lambda report: report["macro"].update(adapter=0.99))
    with pytest.raises(UserError, match="not the mean of the tasks' scores"):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.update(schema_version="0"), "schema version '0'"),
        (lambda report: report["macro"].update(adapter=float("nan")), "NaN is no JSON"),
        (lambda report: report["macro"].update(adapter=1.5), r"macro\.adapter"),
        (lambda report: report.update(tasks={}), "tasks: Dictionary should have at least 1 item"),
        (lambda report: report.update(surprise=1), "surprise: unknown key"),
    ],
)
def test_a_report_that_does_not_fit_its_schema_is_refused(
    runs: Runs, policy: Policy, edit: Edit, change: Callable[[dict[str, object]], None], message: str
) -> None:
    edit(runs["echo"], change)
    with pytest.raises(UserError, match=message):
        judge(runs["echo"], runs["lora"], policy(NOT_WORSE))


def test_a_partial_score_counts_as_much_as_it_says(runs: Runs, edit: Edit) -> None:
    samples = runs["echo"] / "evaluation/quickstart/samples.jsonl"
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    lines[0] |= {"outcome": "partial", "score": 0.25}
    samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
    edit(runs["echo"], lambda report: None)
    with pytest.raises(UserError, match="0 partial in the report, 1 in"):
        read_evaluation(runs["echo"], "quickstart")
