"""A verdict is about one adapter and one policy, and rests on something."""

import json
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict

OLD = Path(__file__).parents[1] / "old_documents/verdict-1.json"


def edited(**values):
    data = json.loads(Verdict.read(OLD).to_json())
    return data | values


@pytest.mark.parametrize("part", ["checks", "evidence"])
def test_a_verdict_over_nothing_is_refused(part):
    with pytest.raises(UserError, match=part):
        Verdict.parse(edited(**{part: []}), where="here")


def test_a_decision_that_its_checks_do_not_carry_is_refused():
    verdict = Verdict.read(OLD)
    other = "rejected" if verdict.decision == "pass" else "pass"
    with pytest.raises(UserError, match="contradicts itself"):
        Verdict.parse(edited(decision=other), where="here")


def test_it_names_its_adapter_and_policy_by_hash():
    verdict = Verdict.read(OLD)
    assert len(verdict.adapter.manifest_sha256) == len(verdict.policy.sha256) == 64
