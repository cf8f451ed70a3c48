"""A policy that would pass everything, or means another thing than it says, is refused."""

import pytest

from schemas.errors import UserError
from schemas.evaluation.gate_policy import GatePolicy

CHECK = "{kind: superiority, against: base, margin: 1}"


def policy(tmp_path, suites):
    path = tmp_path / "policy.yaml"
    path.write_text(f"name: mine\nsuites:\n{suites}\n")
    return GatePolicy.from_yaml(path)


@pytest.mark.parametrize(
    ("suites", "complaint"),
    [
        ("  gsm8k: {checks: []}", "checks"),
        (f"  gsm8k: {{required: false, checks: [{CHECK}]}}", "at least one suite must be required"),
        ("  gsm8k: {checks: [{kind: floor}]}", "either `minimum` or `above_majority`"),
        ("  gsm8k: {checks: [{kind: non_inferiority, against: base, margin: 0}]}", "margin"),
        ("  gsm8k: {checks: [{kind: unparsed, limit: 101}]}", "limit"),
        (f"  gsm8k: {{checks: [{CHECK}]}}\n  gsm8k: {{checks: [{CHECK}]}}", "twice"),
        (f"  gsm8k: {{checks: [{CHECK}], ful: false}}", "ful: unknown key"),
    ],
)
def test_what_could_not_be_meant_is_refused(tmp_path, suites, complaint):
    with pytest.raises(UserError, match=complaint):
        policy(tmp_path, suites)


def test_only_a_check_against_the_baseline_needs_one(tmp_path):
    assert not policy(tmp_path, f"  gsm8k: {{checks: [{CHECK}]}}").needs_baseline
    against = CHECK.replace("against: base", "against: baseline")
    assert policy(tmp_path, f"  gsm8k: {{checks: [{against}]}}").needs_baseline


@pytest.mark.parametrize("name", ["quickstart", "release"])
def test_the_ready_policies_are_read(name):
    from pathlib import Path

    assert GatePolicy.from_yaml(Path(f"configs/policies/{name}.yaml")).name == name
