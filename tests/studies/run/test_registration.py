"""The plan comes before the first run: registered once, refused when changed, amended in the open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from schemas.studies.study_plan import StudyPlan, StudyProtocol
from studies.run.protocol import draft_protocol, require_inputs
from studies.run.registration import register


def test_the_plan_is_registered_once_and_found_again(protocol: StudyProtocol) -> None:
    first = register(protocol, amend=None)
    again = register(protocol, amend=None)
    assert (again.registered, again.protocol_sha256) == (first.registered, first.protocol_sha256)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [0, 1, 2]}, "study.seeds"),
        ({"tuning": {"grid": [1e-3, 2e-2]}}, "study.tuning.grid"),
        ({"analysis": {"contrasts": {"gain": {"candidate": "alone", "baseline": "lora", "asks": "better?"}}}},
         "study.analysis.contrasts.gain.candidate"),
    ],
)  # fmt: skip
def test_a_changed_plan_is_refused_with_its_differences_unless_owned_up_to(
    make_study: Any, protocol: StudyProtocol, changes: dict[str, Any], named: str
) -> None:
    before = register(protocol, amend=None)
    other = require_inputs(draft_protocol(make_study(**changes)))
    with pytest.raises(UserError, match="registered with another protocol") as caught:
        register(other, amend=None)
    assert f"- {named}: " in caught.value.what
    amended = register(other, amend="a reason")
    assert [one.reason for one in amended.amendments] == ["a reason"]
    assert amended.amendments[0].protocol_sha256 == before.protocol_sha256 != amended.protocol_sha256


def test_a_changed_data_file_changes_the_plan(protocol: StudyProtocol, tmp_path: Path) -> None:
    register(protocol, amend=None)
    data = tmp_path / "train.json"
    data.write_text(data.read_text().replace("golden", "silver"))
    with pytest.raises(UserError, match=r"train\.json"):
        register(require_inputs(draft_protocol(protocol.study)), amend=None)


def test_runs_without_a_plan_are_refused(protocol: StudyProtocol) -> None:
    (Path(protocol.study.directory) / "runs" / "something").mkdir(parents=True)
    with pytest.raises(UserError, match="would be written after them"):
        register(protocol, amend=None)


def test_a_plan_edited_by_hand_is_not_read(protocol: StudyProtocol) -> None:
    register(protocol, amend=None)
    path = Path(protocol.study.directory) / "study_plan.json"
    path.write_text(path.read_text().replace('"level": 0.05', '"level": 0.2'))
    with pytest.raises(UserError, match="edited by hand"):
        StudyPlan.read(path)
