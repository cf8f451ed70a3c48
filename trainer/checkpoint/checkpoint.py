"""Checkpoints that are whole or not there: staged, flushed, hashed, renamed; safetensors and JSON only.

Layout: checkpoints/step-00000012/{adapter,echo,optimizer,running}.safetensors and checkpoint.json, which names their hashes.
Random state is not among them: order, dropout and routing are functions of (seed, step).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from schemas.document import sync_directory
from schemas.errors import UserError
from schemas.storage.files import remove_own, write_durably
from trainer.checkpoint.own_files import CHECKPOINT_FILES, RECORD, checkpoints
from trainer.checkpoint.state import CheckpointRecord, TrainingState

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its record, and its tensors by file and name."""

    path: Path
    record: CheckpointRecord
    tensors: Mapping[str, Tensors]


def save_checkpoint(directory: Path, state: TrainingState, tensors: Mapping[str, Tensors], *, keep: int) -> Path:
    """Writes `step-<n>`, then removes all but the newest `keep` checkpoints.

    Raises:
        OSError: the disk is full or gone; what was there before is untouched.
    """
    final = directory / f"step-{state.step:08d}"
    staged = directory / f".staged-{final.name}"
    remove_own(staged, CHECKPOINT_FILES)
    staged.mkdir(parents=True)
    try:
        files = {
            f"{name}.safetensors": write_durably(staged / f"{name}.safetensors", _serialize(part))
            for name, part in tensors.items()
        }
        write_durably(staged / RECORD, CheckpointRecord(state=state, files=files).to_json().encode())
        sync_directory(staged)
        remove_own(
            final, CHECKPOINT_FILES
        )  # only ever one that failed to verify: a good one is resumed from, not written again
        os.rename(staged, final)
        sync_directory(directory)
    except BaseException:
        remove_own(staged, CHECKPOINT_FILES)
        raise
    for old in checkpoints(directory)[keep:]:
        remove_own(old, CHECKPOINT_FILES)
    return final


def _serialize(tensors: Tensors) -> bytes:
    data: bytes = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    return data


def newest_checkpoint(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and why each newer one was skipped."""
    skipped: list[str] = []
    for path in checkpoints(directory):
        try:
            return read_checkpoint(path), skipped
        except UserError as error:
            skipped.append(f"{path.name}: {error.what}")
    return None, skipped


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads one checkpoint; every file is hashed before it is parsed.

    Raises:
        UserError: a file is missing, changed or cut short.
    """
    record = CheckpointRecord.read(path / RECORD)
    if path.name != f"step-{record.state.step:08d}":
        raise UserError(f"its record is of step {record.state.step}", where=path)
    if not {"adapter.safetensors", "optimizer.safetensors"} <= set(record.files) <= set(CHECKPOINT_FILES) - {RECORD}:
        raise UserError(f"its record lists {', '.join(sorted(record.files)) or 'no file'}", where=path)
    tensors: dict[str, Tensors] = {}
    for name, expected in record.files.items():
        try:
            data = (path / name).read_bytes()
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}", where=path) from None
        if hashlib.sha256(data).hexdigest() != expected.sha256:
            raise UserError(f"{name} is not the file that was saved (sha256 differs)", where=path)
        try:
            found = safetensors.torch.load(data)
        except safetensors.SafetensorError as error:
            raise UserError(f"{name} is no safetensors file: {error}", where=path) from None
        tensors[Path(name).stem] = {_todays(key): tensor for key, tensor in found.items()}
    return Checkpoint(path, record, tensors)


def _todays(name: str) -> str:
    """A tensor's name in the words of this release: checkpoints with configs of version 1 said `gate_bias`."""
    return name.replace("gate_bias", "sigmoid_bias")
