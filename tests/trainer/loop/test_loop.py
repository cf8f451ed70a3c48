"""A session: what it leaves behind, when it logs, validates and saves, and that a restore announces new weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trainer.loop.loop import Session
from trainer.model.dora_norms import RowNorms


def lines(run: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def test_lines_checkpoints_and_validation_come_when_they_are_due(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    changes = {"training__log_every": 4, "training__eval_every": 3, "training__save_every": 3}
    run = training_runs.run(training_runs.make_config(tmp_path, tiny_base, records[:28], **changes))
    assert [line["step"] for line in lines(run)] == [3, 4, 6]
    assert [line["step"] for line in lines(run) if "validation_loss" in line] == [3, 6]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-00000003", "step-00000006"]
    assert run.config.exists()


def test_a_restored_session_evaluates_doras_norms_anew(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = training_runs.make_config(tmp_path, tiny_base, records[:28], method="dora")
    restore, invalidated = Session.restore, list[RowNorms]()
    invalidate = RowNorms.invalidate

    def watched(session: Session, tensors: Any) -> None:
        session.objective.row_norms.current()
        restore(session, tensors)
        assert invalidated == [session.objective.row_norms]

    run = training_runs.run(config)
    monkeypatch.setattr(RowNorms, "invalidate", lambda norms: (invalidated.append(norms), invalidate(norms)))
    monkeypatch.setattr(Session, "restore", watched)
    for file in run.adapter.iterdir():
        file.unlink()
    run.adapter.rmdir()
    training_runs.run(config)  # nothing left to train: the checkpoint is restored and exported
    assert invalidated
