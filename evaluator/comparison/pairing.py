"""Who meets whom, and whether they are fit to: the adapter as it lies on the disk, its opponents, complete reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluator.comparison.scored_run import Contestant, Evaluation, read_evaluation
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.gate_policy import Opponent, SuitePolicy

BASE = "base"


def adapter_of(evaluation: Evaluation) -> Contestant:
    """The adapter's arm, once it is sure that the report is of the adapter that lies in the run directory now.

    Raises:
        UserError: the report scores only a base model, or another adapter.
    """
    adapter, manifest = evaluation.report.adapter, evaluation.run.manifest
    if adapter is None or "adapter" not in evaluation.report.macro:
        raise UserError("the report scores only the base model", where=evaluation.run.root, fix="evaluate an adapter")
    if manifest.is_file() and sha256_of(manifest) != adapter.manifest_sha256:
        raise UserError(
            "the report is of another adapter than the one in the run directory (manifest hashes differ)",
            where=manifest,
            fix=f"python -m evaluator {evaluation.run.root} --suite {evaluation.report.suite}",
        )
    return Contestant(evaluation, "adapter")


def opponents_of(candidate: Contestant, against: Sequence[str], suite: str) -> dict[Opponent, list[Contestant]]:
    """The base arm of the candidate's own report, where it has one, and the reference, where one is named.

    Raises:
        UserError: `base` is asked for and the report has no base arm.
    """
    opponents: dict[Opponent, list[Contestant]] = {}
    if "base" in candidate.evaluation.report.macro:
        opponents["base"] = [Contestant(candidate.evaluation, "base")]
    elif BASE in against:
        raise UserError("the report has no base arm", where=candidate.evaluation.run.root, fix="evaluate again")
    if against and BASE not in against:
        evaluations = [read_evaluation(Path(run), suite) for run in against]
        opponents["reference"] = [Contestant(one, "adapter" if one.report.adapter else "base") for one in evaluations]
    return opponents


def require_complete(contestants: Sequence[Contestant], conditions: SuitePolicy) -> None:
    """Every contestant has the tasks, the items and the scores that the policy's conditions ask for.

    Raises:
        UserError: a required task is missing, the report is of a part of the suite, or too many items have no score.
    """
    for one in contestants:
        report, where = one.evaluation.report, one.evaluation.run.evaluation(one.evaluation.report.suite)
        missing = [task for task in conditions.tasks if task not in report.tasks]
        if missing:
            raise UserError(
                f"required tasks are not in the report: {', '.join(missing)}", where=where, fix="evaluate again"
            )
        if conditions.full and report.limit is not None:
            raise UserError(
                f"the policy wants the whole suite, the report holds the first {report.limit} items per task",
                where=where,
                fix="evaluate without --limit",
            )
        for task, record in report.tasks.items():
            unscored, total = record.arms[one.arm].unscored, record.arms[one.arm].total
            if unscored / total > conditions.unscored / 100:
                raise UserError(
                    f"{task}, {one.name}: {unscored} of {total} items have no score; the policy allows {conditions.unscored} %",
                    where=where,
                    fix="run the evaluation again: it resumes with the missing items",
                )


def require_opponents(
    conditions: SuitePolicy, opponents: dict[Opponent, list[Contestant]], candidate: Contestant
) -> None:
    """The base is there where a check asks for it; a missing reference is refused before anything is read.

    Raises:
        UserError: the report has no base arm.
    """
    if "base" not in opponents and any(getattr(check, "against", None) == "base" for check in conditions.checks):
        raise UserError(
            "the policy compares with the base model, and the report has no base arm",
            where=candidate.evaluation.run.root,
            fix="evaluate again with the base as control",
        )
