"""Decides what to do with a run directory that already holds something: nothing, go on, or refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.storage.files import restore_replaced
from schemas.storage.yaml_files import read_yaml
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig
from trainer.checkpoint.checkpoint import Checkpoint, newest_checkpoint
from trainer.checkpoint.overwrite import beside, discard, take_place
from trainer.checkpoint.own_files import holds_a_run, refuse_foreign, remove_leftovers
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
    """Where a run begins."""

    run: RunDirectory
    """Where to train; beside the run of the config where that is to be overwritten."""
    complete: bool = False
    """The adapter is there and is of this very config."""
    checkpoint: Checkpoint | None = None
    """The state to go on from; None starts at step 0."""
    notes: list[str] = field(default_factory=list)
    """Lines for the user: what was skipped, and why."""

    def with_inputs(self, now: RunIdentity) -> Start:
        """The same, once data and base are those that the checkpoint was trained with; an overwrite begins at step 0 else.

        Raises:
            AnotherRun: a data source or the base model has changed.
        """
        if self.checkpoint is None:
            return self
        try:
            refuse_other_inputs(self.checkpoint.record.state.identity, now, self.checkpoint.path)
        except AnotherRun:
            if self.run.root.name != beside(self.run).root.name:
                raise
            return replace(self, checkpoint=None)
        return self

    def state_of(self, identity: RunIdentity) -> TrainingState:
        """The state of the checkpoint, or of a run at step 0."""
        return self.checkpoint.record.state if self.checkpoint else TrainingState(identity=identity)


def where_to_start(run: RunDirectory, config: TrainConfig, *, overwrite: bool) -> Start:
    """Looks at the run directory, and ends what a killed process left half-done; takes nothing else away.

    Raises:
        AnotherRun: it holds a run of another config.
        UserError: it holds something that is not the trainer's where the trainer writes.
    """
    new = beside(run)
    refuse_foreign(run, overwrite=overwrite)
    refuse_foreign(new, overwrite=False)
    restore_replaced(run.adapter)
    for directory in (run, new):
        remove_leftovers(directory)
    taken = take_place(new, run)
    if overwrite and not taken and holds_a_run(run):
        return _start_beside(new, config)
    return _look(run, config)


def _start_beside(new: RunDirectory, config: TrainConfig) -> Start:
    """Goes on with an overwrite of this config that was stopped; forgets one of another."""
    try:
        return _look(new, config)
    except AnotherRun:
        discard(new)
        return Start(new)


def _look(run: RunDirectory, config: TrainConfig) -> Start:
    notes: list[str] = []
    if run.adapter.exists():
        try:
            _refuse_adopted(run)
            finished = _finished_config(run)
            _refuse_changes(finished, config, run.adapter)
            read_adapter(run.adapter)
            return Start(run, complete=True)
        except AnotherRun:
            raise
        except UserError as error:
            notes.append(f"the adapter is not whole ({error.what}); it will be exported again")
    checkpoint, skipped = newest_checkpoint(run.checkpoints)
    notes += [f"skipped checkpoint {reason}" for reason in skipped]
    if checkpoint:
        _refuse_changes(checkpoint.record.state.identity.config, config, checkpoint.path)
        notes.append(f"resuming from {checkpoint.path.name}")
    elif skipped:
        notes.append("no checkpoint is whole; starting at step 0")
    return Start(run, checkpoint=checkpoint, notes=notes)


def _refuse_adopted(run: RunDirectory) -> None:
    """What another tool trained has no config to go on with, and nothing here could make it again."""
    if AdapterManifest.read(run.manifest).adopted is not None:
        raise AnotherRun("the run directory holds an adapter that another tool trained", where=run.adapter)


def _finished_config(run: RunDirectory) -> Mapping[str, Any]:
    return read_yaml(run.config, "training config")


def _refuse_changes(before: Mapping[str, Any], config: TrainConfig, where: Path) -> None:
    old, new = dict(_flat(_in_todays_words(before))), dict(_flat(config.model_dump(mode="json")))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and key not in _FREE]
    if changed:
        listing = "\n".join(f"  - {key}: {old.get(key)} there, {new.get(key)} now" for key in changed)
        raise AnotherRun(f"this run was begun with another config\n{listing}", where=where)


def _in_todays_words(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """An earlier release's config with its keys renamed and its missing ones at their defaults."""
    try:
        return TrainConfig.parse(dict(config), where="").model_dump(mode="json")
    except UserError:
        return config


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def refuse_other_inputs(before: RunIdentity, now: RunIdentity, where: Path) -> None:
    """Refuses to go on with other data or another base than the checkpoint was trained with.

    Raises:
        AnotherRun: a data source has changed, or a part of the base model, its tokenizer and chat template among them.
    """
    if before.data_sha256 != now.data_sha256:
        raise AnotherRun("the training data have changed since the checkpoint was saved", where=where)
    if changed := before.base.changes(now.base):
        raise AnotherRun(f"the base model's {', '.join(changed)} changed since the checkpoint was saved", where=where)
