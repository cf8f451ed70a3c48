"""A verdict that was edited contradicts its own numbers, whichever of them were forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluator.commands import gate
from schemas.errors import UserError
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict
from tests.evaluator.scored_runs import policy, runs  # noqa: F401 fixtures

CHECKS = (
    "kind: non_inferiority, against: baseline, margin: 5",
    "kind: superiority, against: base, over: each_task",
    "kind: floor, above_majority: 5",
    "kind: unparsed, limit: 1",
)
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def rejected(runs: dict[str, Path], policy: Callable[..., Path]) -> dict[str, Any]:  # noqa: F811
    """The plain data of a real verdict: `worse` against `lora`."""
    verdict = gate.gate([runs["worse"]], [str(runs["lora"])], GatePolicy.from_yaml(policy(*CHECKS)))
    assert (verdict.decision, verdict.checks[0].decision) == ("rejected", "rejected")
    data: dict[str, Any] = json.loads(verdict.to_json())
    return data


def raise_numbers(part: dict[str, Any], by: float) -> None:
    """Estimate and interval, as somebody who knows that they belong together would."""
    part["estimate"] += by
    part["interval"]["low"] += by
    part["interval"]["high"] += by


def edit_check(data: dict[str, Any], **values: object) -> None:
    data["checks"][0].update(values)


def rewrite_policy(data: dict[str, Any]) -> None:
    data["policy"]["text"] = data["policy"]["text"].replace('"margin": 5.0', '"margin": 90.0')
    edit_check(data, threshold=-0.9)


EDITS: dict[str, Edit] = {
    "only the decision": lambda data: None,
    "the decision of the check": lambda data: edit_check(data, decision="pass"),
    "a wider margin": lambda data: edit_check(data, decision="pass", threshold=-0.9),
    "an interval that passes": lambda data: edit_check(
        data, decision="pass", interval={"low": 0.01, "high": 0.05, "level": 0.95}
    ),
    "estimate and interval": lambda data: (edit_check(data, decision="pass"), raise_numbers(data["checks"][0], 0.5)),
    "the comparison with them": lambda data: (
        edit_check(data, decision="pass"),
        raise_numbers(data["checks"][0], 0.5),
        raise_numbers(data["comparisons"][-1]["macro"], 0.5),
    ),
    "no interval": lambda data: edit_check(data, decision="pass", interval=None),
    "another kind": lambda data: edit_check(data, decision="pass", kind="floor", against=None),
    "another subject": lambda data: edit_check(data, decision="pass", subject="boolq"),
    "the check is gone": lambda data: data["checks"].pop(0),
    "all its kind is gone": lambda data: data.update(
        checks=[one for one in data["checks"] if one["kind"] == "unparsed"]
    ),
    "the policy's text": lambda data: (edit_check(data, decision="pass"), rewrite_policy(data)),
    "another run's evidence": lambda data: (
        edit_check(data, decision="pass"),
        data["evidence"][0].update(run="somebody"),
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_rejection_is_not_read_as_a_pass(rejected: dict[str, Any], edit: Edit) -> None:
    edit(rejected)
    rejected["decision"] = "pass"
    with pytest.raises(UserError, match=r"contradicts itself|does not fit"):
        Verdict.parse(rejected, where="verdict.json")


def test_one_word_changed_everywhere_is_not_read_as_a_pass(rejected: dict[str, Any]) -> None:
    text = json.dumps(rejected).replace('"rejected"', '"pass"')
    with pytest.raises(UserError, match="its decision is pass, its numbers say rejected"):
        Verdict.from_bytes(text.encode(), where="verdict.json")


def test_a_verdict_as_the_gate_writes_it_is_read(rejected: dict[str, Any]) -> None:
    assert Verdict.parse(rejected, where="verdict.json").decision == "rejected"


def test_a_condition_that_was_not_checked_is_named(rejected: dict[str, Any]) -> None:
    rejected["checks"] = [one for one in rejected["checks"] if one["subject"] != "piqa"]
    with pytest.raises(UserError, match="superiority was not checked on piqa"):
        Verdict.parse(rejected, where="verdict.json")
