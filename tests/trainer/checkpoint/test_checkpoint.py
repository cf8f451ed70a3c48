from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.base.base_model import BaseIdentity
from schemas.errors import UserError
from trainer.checkpoint import checkpoint as checkpoints
from trainer.checkpoint.checkpoint import newest_checkpoint, read_checkpoint, save_checkpoint
from trainer.checkpoint.own_files import clear_leftovers
from trainer.checkpoint.state import RunIdentity, TrainingState

IDENTITY = RunIdentity(
    config={"name": "x"}, data_sha256=("0" * 64,), base=BaseIdentity(config_sha256="0" * 64, weights_sha256="0" * 64)
)


def save(directory: Path, step: int, keep: int = 2) -> Path:
    state = TrainingState(step=step, identity=IDENTITY)
    tensors = {"adapter": {"a": torch.full((3,), float(step))}, "optimizer": {}}
    return save_checkpoint(directory, state, tensors, keep=keep)


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    read = read_checkpoint(save(tmp_path, 3))
    assert read.record.state.step == 3
    assert torch.equal(read.tensors["adapter"]["a"], torch.full((3,), 3.0))


def test_the_newest_stay_and_the_oldest_go(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000010"]


def without_the_moments(record: Path) -> None:
    entries = json.loads(record.read_text())
    entries["files"].pop("optimizer.safetensors")
    record.write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda p: (p / "adapter.safetensors").write_bytes(b"\0" * 80), "sha256 differs"),
        (lambda p: os.truncate(p / "adapter.safetensors", 20), "sha256 differs"),
        (lambda p: (p / "adapter.safetensors").unlink(), "cannot be read"),
        (lambda p: (p / "checkpoint.json").unlink(), "no checkpoint record"),
        (lambda p: os.truncate(p / "checkpoint.json", 20), "not JSON"),
        (lambda p: (p / "checkpoint.json").write_text("[" * 100_000), "not JSON"),
        (lambda p: without_the_moments(p / "checkpoint.json"), "its record lists adapter.safetensors"),
        (lambda p: p.rename(p.with_name("step-00000009")), "its record is of step 2"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_with_its_reason(tmp_path: Path, damage: Any, reason: str) -> None:
    save(tmp_path, 1)
    damage(save(tmp_path, 2))
    found, skipped = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.record.state.step == 1
    assert len(skipped) == 1
    assert reason in skipped[0]


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") == (None, [])


def test_what_is_staged_or_being_removed_is_never_a_checkpoint(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    path.rename(tmp_path / ".staged-step-00000001")
    assert newest_checkpoint(tmp_path) == (None, [])
    clear_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_last_good_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, keep=1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match=r"adapter\.safetensors"):
        save(tmp_path, 2, keep=1)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    read_checkpoint(tmp_path / "step-00000001")


def test_an_old_checkpoint_goes_only_after_the_new_one_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(tmp_path, 1, keep=1)
    seen: list[bool] = []
    rename = os.rename

    def watched(source: Path, target: Path) -> None:
        seen.append(old.exists())
        rename(source, target)

    monkeypatch.setattr(checkpoints.os, "rename", watched)
    new = save(tmp_path, 2, keep=1)
    assert seen == [True, True]  # staged to new, then old to removed
    assert (new.exists(), old.exists()) == (True, False)


def test_there_is_no_pickle_in_a_checkpoint(tmp_path: Path) -> None:
    assert {path.suffix for path in save(tmp_path, 1).iterdir()} == {".safetensors", ".json"}


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1) / "checkpoint.json"
    path.write_text(path.read_text().replace('"schema_version": "2"', '"schema_version": "0"'))
    with pytest.raises(UserError, match="schema version"):
        read_checkpoint(path.parent)
