"""Writes the plan before the first run, and refuses a changed one unless the change is owned up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.studies.study_plan import Amendment, StudyPlan, StudyProtocol
from trainer.loop.launch import flat

PLAN = "study_plan.json"
_MOST_SHOWN = 30


def register(protocol: StudyProtocol, *, amend: str | None) -> StudyPlan:
    """The plan in force: written now where there is none, read where it is the same, amended where that is asked for.

    Args:
        protocol: what the config says today.
        amend: the reason of a change; None allows none.

    Raises:
        UserError: the protocol is not the registered one, or runs are there without any plan.
    """
    directory = Path(protocol.study.directory)
    path = directory / PLAN
    if not path.exists():
        _refuse_runs_without_a_plan(directory)
        plan = StudyPlan(registered=datetime.now(UTC), protocol_sha256=protocol.sha256(), protocol=protocol)
        plan.write(path)
        return plan
    plan = StudyPlan.read(path)
    changes = differences(plan.protocol, protocol)
    if not changes:
        return plan
    if amend is None:
        shown = "\n".join(f"  - {change}" for change in changes[:_MOST_SHOWN])
        raise UserError(
            f"this study was registered with another protocol ({plan.protocol_sha256[:12]})\n{shown}",
            where=path,
            fix='restore it, take another directory, or own up to the change: --amend "REASON" (the report will show it)',
        )
    return _amended(plan, protocol, changes, amend, path)


def differences(before: StudyProtocol, now: StudyProtocol) -> list[str]:
    """Every key of the protocol that changed, with its value then and now."""
    old, new = _flat(before), _flat(now)
    return [
        f"{key}: {old.get(key, 'absent')} registered, {new.get(key, 'absent')} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(protocol: StudyProtocol) -> dict[str, Any]:
    fixed: dict[str, Any] = protocol.fixed()
    fixed["arms"] = {f"{arm['base']}.{arm['arm']}": arm for arm in fixed["arms"]}
    return dict(flat(fixed))


def _amended(plan: StudyPlan, protocol: StudyProtocol, changes: Sequence[str], reason: str, path: Path) -> StudyPlan:
    amendment = Amendment(
        at=datetime.now(UTC),
        reason=reason,
        differences=tuple(changes),
        protocol_sha256=plan.protocol_sha256,
        runs_finished=len(list((path.parent / "runs").glob("*/evaluation/*/report.json"))),
    )
    changed: Mapping[str, Any] = {
        "protocol": protocol,
        "protocol_sha256": protocol.sha256(),
        "amendments": (*plan.amendments, amendment),
    }
    amended = plan.model_copy(update=changed)
    amended.write(path)
    return amended


def _refuse_runs_without_a_plan(directory: Path) -> None:
    runs = [path for folder in ("runs", "tuning") for path in (directory / folder).glob("*")]
    if runs:
        raise UserError(
            f"the study's directory holds {len(runs)} runs and no {PLAN}: a plan written now would be written after them",
            where=directory,
            fix="take another directory",
        )
