"""Holds a study against an earlier report: which of the runs that both have came out as the same adapter?"""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.table import Table

from schemas.errors import UserError
from schemas.studies.study_plan import run_name
from schemas.studies.study_report import StudyReport


@dataclass(frozen=True)
class RepeatedRun:
    """One run of both studies: same base, arm and seed."""

    base: str
    arm: str
    seed: str
    earlier: float
    """Macro accuracy then."""
    now: float
    """Macro accuracy now."""
    same_adapter: bool | None
    """Whether the adapters' tensors have the same hash; None where the earlier report has no hashes."""


def repeated_runs(report: StudyReport, earlier: StudyReport) -> list[RepeatedRun]:
    """The runs that both have, in the order of `report`.

    Raises:
        UserError: there is none, or the two started from other weights, used other rates or other test items.
    """
    _require_the_same_question(report, earlier)
    before = {(one.base, one.arm): one for one in earlier.arms}
    found = []
    for outcome in report.arms:
        known = before.get((outcome.base, outcome.arm))
        if known is None:
            continue
        if known.learning_rate != outcome.learning_rate:
            raise UserError(
                f"arm {outcome.arm} was trained at {outcome.learning_rate:g}, in the earlier report at {known.learning_rate:g}",
                where=f"{report.study.name}: tuning.grid",
                fix="give the repetition the earlier rate alone",
            )
        for seed, score in outcome.scores.items():
            if seed in known.scores:
                name = run_name(outcome.base, outcome.arm, int(seed))
                hashes = [one.adapters_sha256.get(name) for one in (report, earlier)]
                same = hashes[0] == hashes[1] if None not in hashes else None
                found.append(RepeatedRun(outcome.base, outcome.arm, seed, known.scores[seed], score, same))
    if not found:
        raise UserError(
            "the two studies have no run in common",
            where=f"{report.study.name}: arms and seeds",
            fix="repeat some of the earlier arms with some of their seeds",
        )
    return found


def repetition_table(runs: list[RepeatedRun]) -> Table:
    """One row per run."""
    words = {True: "the same, bit for bit", False: "another", None: "the earlier report has no hash"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "macro before", "macro now", "adapter"):
        table.add_column(heading, justify="right" if heading.startswith("macro") else "left")
    for one in runs:
        name = f"{one.base} {one.arm} seed {one.seed}"
        table.add_row(name, f"{100 * one.earlier:.2f}", f"{100 * one.now:.2f}", words[one.same_adapter])
    return table


def _require_the_same_question(report: StudyReport, earlier: StudyReport) -> None:
    known = {base.base: base.weights_sha256 for base in earlier.bases}
    for base in report.bases:
        if known.get(base.base, base.weights_sha256) != base.weights_sha256:
            raise UserError(
                f"base {base.base} has other weights than in the earlier report",
                where=f"{report.study.name}: {base.model}",
                fix="make it by the same recipe",
            )
    if report.documents_sha256 != earlier.documents_sha256:
        raise UserError(
            "the two studies were scored on different test items",
            where=f"{report.study.name}: evaluation",
            fix="score the repetition on the earlier items",
        )
