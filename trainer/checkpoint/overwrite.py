"""Trains a run anew beside the earlier one of its name, which stays as it is until the new adapter stands."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from schemas.storage.files import replace_directory
from trainer.checkpoint.own_files import checkpoints, remove_checkpoints

_TRACKED = ("events.out.tfevents.*", "hparams.yml")  # what accelerate's TensorBoard tracker writes


def beside(run: RunDirectory) -> RunDirectory:
    """Where a run is trained whose name an earlier one still holds."""
    return RunDirectory(run.root / ".anew")


def take_place(new: RunDirectory, run: RunDirectory) -> bool:
    """Puts a finished run in the place of the earlier one; says whether there was one to put.

    The adapter comes last, so a kill at any point leaves a whole adapter on either side, and the next call ends the work.
    What later stages wrote about the earlier adapter stays: it names that adapter by its hash.
    """
    try:
        read_adapter(new.adapter)
    except UserError:
        return False
    _move_checkpoints(new, run)
    _move_trackers(new.trackers, run.trackers)
    for source, target in ((new.metrics, run.metrics), (new.config, run.config)):
        if source.is_file():
            os.replace(source, target)
    replace_directory(new.adapter, run.adapter, ADAPTER_FILES)
    discard(new)
    return True


def discard(new: RunDirectory) -> None:
    """Removes what an overwrite that is given up had written."""
    remove_checkpoints(new.checkpoints)
    _remove_tracked(new.trackers)
    for path in (new.metrics, new.config):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        new.root.rmdir()


def _move_checkpoints(new: RunDirectory, run: RunDirectory) -> None:
    arriving = checkpoints(new.checkpoints)
    if arriving:
        remove_checkpoints(run.checkpoints)
        run.checkpoints.mkdir(exist_ok=True)
    for path in arriving:
        os.rename(path, run.checkpoints / path.name)


def _move_trackers(new: Path, old: Path) -> None:
    """Replaces TensorBoard's files, so that the earlier run's curves do not stand among the new ones."""
    arriving = _tracked(new)
    if arriving:
        _remove_tracked(old)
    for path in arriving:
        target = old / path.relative_to(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)


def _remove_tracked(trackers: Path) -> None:
    for path in _tracked(trackers):
        path.unlink()
    for directory in sorted((path for path in trackers.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            directory.rmdir()
    with contextlib.suppress(OSError):
        trackers.rmdir()


def _tracked(trackers: Path) -> list[Path]:
    return [path for pattern in _TRACKED for path in sorted(trackers.rglob(pattern)) if path.is_file()]
