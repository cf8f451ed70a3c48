"""The scores of a run's evaluation reports as the hub's card metadata (`model-index`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult

from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport
from schemas.run_directory import RunDirectory


def read_reports(run: RunDirectory, manifest_sha256: str) -> list[tuple[EvalReport, Path]]:
    """Every report of the run, by suite, once it is of the adapter that is there now.

    Raises:
        UserError: a report is damaged, or of another adapter.
    """
    reports = []
    for path in sorted((run.root / "evaluation").glob("*/report.json")):
        report = EvalReport.read(path)
        if report.adapter is None or report.adapter.manifest_sha256 != manifest_sha256:
            raise UserError(
                "the report is of another adapter than the run's",
                where=path,
                fix=f"score it again: python -m evaluator {run.root} --suite {report.suite}",
            )
        reports.append((report, path))
    return reports


def eval_results(report: EvalReport, sha256: str) -> Iterator[EvalResult]:
    """One result per task: the adapter's primary score, with how it was asked. A limited report says so in its name."""
    limit = f", first {report.limit} items" if report.limit else ""
    for name, task in report.tasks.items():
        score = task.variants["adapter"]
        yield EvalResult(
            task_type="text-generation",
            dataset_type=name,
            dataset_name=f"{name} ({report.suite}{limit})",
            metric_type=score.metric,
            metric_name=f"{score.metric}, {report.protocol.partition(';')[0]}",
            metric_value=round(score.score, 6),
            dataset_args={
                "items": score.total,
                "unparsed": score.unparsed,
                "interval_95": [round(score.interval.low, 6), round(score.interval.high, 6)],
                "report_sha256": sha256,
            },
            verified=False,
        )
