"""Decides what to do with a run directory that already holds something: nothing, go on, or refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.files import remove_directory
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from schemas.yaml_files import read_yaml
from trainer.checkpoint.checkpoint import Checkpoint, clear_leftovers, newest_checkpoint
from trainer.checkpoint.state import RunIdentity, TrainingState

# Fields that say where a run is and how it is laid out and reported: the adapter it ends in differs by rounding at most.
_FREE = {
    "runs", "training.log_every", "training.eval_every", "training.save_every", "training.keep_checkpoints",
    "training.report_to", "training.device", "training.sharding", "training.micro_batch_size",
}  # fmt: skip


class AnotherRun(UserError):
    """The run directory holds a run of another config, data or base, which going on would mix with this one."""

    def __init__(self, what: str, *, where: Path) -> None:
        super().__init__(what, where=where, fix="restore them, choose another name, or start anew with --overwrite")


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        complete: the adapter is there and is of this very config.
        checkpoint: the state to go on from; None starts at step 0.
        notes: lines for the user: what was skipped, and why.
    """

    complete: bool = False
    checkpoint: Checkpoint | None = None
    notes: list[str] = field(default_factory=list)


def where_to_start(run: RunDirectory, config: TrainConfig, *, overwrite: bool) -> Start:
    """Looks at the run directory.

    Raises:
        AnotherRun: it holds a run of another config.
    """
    if overwrite:
        clear_run(run)
        return Start()
    for directory in (run.root, run.checkpoints):
        clear_leftovers(directory)
    notes: list[str] = []
    if run.adapter.exists():
        try:
            read_adapter(run.adapter)
            finished = _finished_config(run)
        except UserError as error:
            notes.append(f"the adapter is not whole ({error.what}); it will be exported again")
        else:
            _refuse_changes(finished, config, run.adapter)
            return Start(complete=True)
    checkpoint, skipped = newest_checkpoint(run.checkpoints)
    notes += [f"skipped checkpoint {reason}" for reason in skipped]
    if checkpoint:
        _refuse_changes(checkpoint.record.state.identity.config, config, checkpoint.path)
        notes.append(f"resuming from {checkpoint.path.name}")
    elif skipped:
        notes.append("no checkpoint is whole; starting at step 0")
    return Start(checkpoint=checkpoint, notes=notes)


def _finished_config(run: RunDirectory) -> Mapping[str, Any]:
    return read_yaml(run.config, "training config")


def _refuse_changes(before: Mapping[str, Any], config: TrainConfig, where: Path) -> None:
    old, new = dict(_flat(before)), dict(_flat(config.model_dump(mode="json")))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and key not in _FREE]
    if changed:
        listing = "\n".join(f"  - {key}: {old.get(key)} there, {new.get(key)} now" for key in changed)
        raise AnotherRun(f"this run was begun with another config\n{listing}", where=where)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def state_to_go_on_from(start: Start, now: RunIdentity) -> TrainingState:
    """The state of the checkpoint, or of a run at step 0.

    Args:
        start: where the run begins.
        now: what it is of: its config, its data and its base as they are now.

    Raises:
        AnotherRun: a data source has changed, or a part of the base model, its tokenizer and chat template among them.
    """
    if start.checkpoint is None:
        return TrainingState(identity=now)
    _refuse_other_inputs(start.checkpoint.record.state.identity, now, start.checkpoint.path)
    return start.checkpoint.record.state


def _refuse_other_inputs(before: RunIdentity, now: RunIdentity, where: Path) -> None:
    if before.data_sha256 != now.data_sha256:
        raise AnotherRun("the training data have changed since the checkpoint was saved", where=where)
    if changed := before.base.changes(now.base):
        raise AnotherRun(f"the base model's {', '.join(changed)} changed since the checkpoint was saved", where=where)


def clear_run(run: RunDirectory) -> None:
    """Removes everything of an earlier run, first what later stages would take for whole."""
    remove_directory(run.adapter)
    for path in sorted(run.root.iterdir()) if run.root.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
