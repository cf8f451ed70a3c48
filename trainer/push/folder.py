"""The folder that goes up: exactly an adapter's four files, its card with the scores, its manifest true of that card.

Whoever downloads it into `runs/NAME/adapter` has an adapter that verifies.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from schemas.adapter_reader import VerifiedAdapter, read_adapter
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, TaskRecord
from schemas.run_directory import RunDirectory
from schemas.storage.files import write_durably
from trainer.push.scores import eval_results, read_reports

_BEFORE = "## Limits\n"


def prepare(run: RunDirectory, folder: Path) -> int:
    """Fills an empty folder and verifies it as a stranger would; returns how many scores the card holds.

    Raises:
        UserError: the adapter does not verify, or a report is damaged or of another adapter.
    """
    adapter = read_adapter(run.adapter)
    reports = read_reports(run, adapter.manifest_sha256)
    results = [result for report, path in reports for result in eval_results(report, sha256_of(path))]
    card = _card(adapter, results, [report for report, _ in reports])
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(adapter.directory / name, folder / name)
    record = write_durably(folder / "README.md", str(card).encode())
    manifest = adapter.manifest
    manifest = manifest.model_copy(update={"files": {**manifest.files, "README.md": record}})
    write_durably(folder / "manifest.json", manifest.to_json().encode())
    read_adapter(folder)
    return len(results)


def _card(adapter: VerifiedAdapter, results: list[EvalResult], reports: list[EvalReport]) -> ModelCard:
    """The run's own card with the scores as metadata and as a table; read back as the hub will read it."""
    card: Any = ModelCard((adapter.directory / "README.md").read_text(encoding="utf-8"))
    if results:
        card.data.model_name = adapter.manifest.name
        card.data.eval_results = results
        body = card.text if _BEFORE in card.text else f"{card.text}\n{_BEFORE}"
        card.text = body.replace(_BEFORE, f"{_table(reports)}\n{_BEFORE}", 1)
    written: Any = ModelCard(str(card))
    if len(written.data.eval_results or []) != len(results):
        raise UserError(
            "the card's scores do not survive being read back: two tasks of one name, suite and metric",
            where=adapter.directory,
            fix="give the tasks names of their own",
        )
    assert isinstance(written, ModelCard)
    return written


def _table(reports: list[EvalReport]) -> str:
    head = "| suite | task | metric | adapter | 95 % interval | items | base alone |\n|---|---|---|---|---|---|---|"
    rows = [_row(report.suite, name, task) for report in reports for name, task in report.tasks.items()]
    return "\n".join(["## Scores\n", head, *rows, ""])


def _row(suite: str, name: str, task: TaskRecord) -> str:
    score, base = task.variants["adapter"], task.variants.get("base")
    between = f"{score.interval.low:.1%} to {score.interval.high:.1%}"
    alone = f"{base.score:.1%}" if base else "not scored"
    return f"| {suite} | {name} | {score.metric} | {score.score:.1%} | {between} | {score.total:,} | {alone} |"
