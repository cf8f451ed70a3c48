"""What is compared with what, and whether it may be: the adapter as it lies on the disk, its baselines, complete reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluator.comparison.scored_run import Evaluation, ScoredRun, read_evaluation
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.gate_policy import Baseline, SuitePolicy

BASE = "base"


def adapter_of(evaluation: Evaluation) -> ScoredRun:
    """The adapter's answers, once it is sure that the report is of the adapter that lies in the run directory now.

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
    return ScoredRun(evaluation, "adapter")


def baselines_of(candidate: ScoredRun, against: Sequence[str], suite: str) -> dict[Baseline, list[ScoredRun]]:
    """The base of the candidate's own report, where it has one, and the baseline, where one is named.

    Raises:
        UserError: `base` is asked for and the report does not score it.
    """
    baselines: dict[Baseline, list[ScoredRun]] = {}
    if "base" in candidate.evaluation.report.macro:
        baselines["base"] = [ScoredRun(candidate.evaluation, "base")]
    elif BASE in against:
        raise UserError("the report does not score the base", where=candidate.evaluation.run.root, fix="evaluate again")
    if against and BASE not in against:
        evaluations = [read_evaluation(Path(run), suite) for run in against]
        baselines["baseline"] = [ScoredRun(one, "adapter" if one.report.adapter else "base") for one in evaluations]
    return baselines


def require_complete(scored_runs: Sequence[ScoredRun], conditions: SuitePolicy) -> None:
    """Every scored_run has the tasks, the items and the scores that the policy's conditions ask for.

    Raises:
        UserError: a required task is missing, the report is of a part of the suite, or too many items have no score.
    """
    for one in scored_runs:
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
            unscored, total = record.variants[one.variant].unscored, record.variants[one.variant].total
            if unscored / total > conditions.unscored / 100:
                raise UserError(
                    f"{task}, {one.name}: {unscored} of {total} items have no score; the policy allows {conditions.unscored} %",
                    where=where,
                    fix="run the evaluation again: it resumes with the missing items",
                )


def require_baselines(
    conditions: SuitePolicy, baselines: dict[Baseline, list[ScoredRun]], candidate: ScoredRun
) -> None:
    """The base is there where a check asks for it; a missing baseline is refused before anything is read.

    Raises:
        UserError: the report does not score the base.
    """
    if "base" not in baselines and any(getattr(check, "against", None) == "base" for check in conditions.checks):
        raise UserError(
            "the policy compares with the base model, and the report does not score it",
            where=candidate.evaluation.run.root,
            fix="evaluate again with the base as control",
        )
