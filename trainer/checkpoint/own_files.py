"""Which files of a run directory are the trainer's own: it refuses to start where it would replace anything else."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from schemas.errors import UserError
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from schemas.storage.files import remove_own
from schemas.storage.yaml_files import read_yaml
from schemas.training.train_config import TrainConfig

STAGED_ADAPTER = ".adapter.staged"
RECORD = "checkpoint.json"
CHECKPOINT_FILES = (RECORD, "adapter.safetensors", "echo.safetensors", "optimizer.safetensors", "running.safetensors")
"""Whatever a checkpoint may hold; without the first it is none."""
_CHECKPOINT = re.compile(r"^step-\d{8}$")
_LEFT_CHECKPOINT = re.compile(r"^\.(staged|removed)-step-\d{8}$")
_LEFT_FILE = re.compile(r"^\.(config\.yaml|metrics\.jsonl)\.staged-[a-z0-9_]{8}$")  # schemas.document.write_atomically
_FIX = "move it away, or choose another name for the run"


def refuse_foreign(run: RunDirectory, *, overwrite: bool) -> None:
    """Looks at every name that the trainer writes; hidden entries and other names are nobody's business but their owner's.

    Raises:
        UserError: one of them is not the trainer's, or a directory is to be overwritten that holds other things and no run.
    """
    for path, fault in _FAULTS.items():
        place = run.root / path
        if os.path.lexists(place) and (found := fault(place)):
            raise UserError(f"{path} in the run directory {found}", where=place, fix=_FIX)
    others = sorted(path.name for path in run.root.glob("[!.]*"))
    if overwrite and others and not holds_a_run(run):
        listing = ", ".join(others[:5]) + (" ..." if len(others) > 5 else "")
        raise UserError(
            f"--overwrite is for runs, and this directory holds none, but {listing}",
            where=run.root,
            fix="choose another name for the run",
        )


def holds_a_run(run: RunDirectory) -> bool:
    """Whether an earlier run left something that a new one would replace."""
    return any(os.path.lexists(path) for path in (run.config, run.adapter, *checkpoints(run.checkpoints)))


def refuse_unwritable(run: RunDirectory) -> None:
    """Tries to write, before anything costs time.

    Raises:
        UserError: the run directory takes no new file.
    """
    try:
        with tempfile.TemporaryFile(dir=run.root):
            pass
    except OSError as error:
        raise UserError(
            f"the run directory cannot be written: {error.strerror}",
            where=run.root,
            fix="mend its rights, or --runs DIR",
        ) from None


def remove_leftovers(run: RunDirectory) -> None:
    """Removes what a killed process left half-written or half-deleted."""
    remove_own(run.root / STAGED_ADAPTER, ADAPTER_FILES)
    remove_own(run.root / ".removed-adapter", ADAPTER_FILES)
    clear_leftovers(run.checkpoints)
    for path in run.root.glob(".*"):
        if _LEFT_FILE.match(path.name) and path.is_file():
            path.unlink()


def remove_checkpoints(directory: Path) -> None:
    """Removes every checkpoint, and the directory unless something else is in it."""
    for path in checkpoints(directory):
        remove_own(path, CHECKPOINT_FILES)
    with contextlib.suppress(OSError):
        directory.rmdir()


def checkpoints(directory: Path) -> list[Path]:
    """Checkpoint directories, newest first, verified or not."""
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if _CHECKPOINT.match(path.name)), reverse=True)


def clear_leftovers(directory: Path) -> None:
    """Removes the checkpoints that a killed process left half-written or half-deleted."""
    for path in directory.glob(".*") if directory.is_dir() else ():
        if _LEFT_CHECKPOINT.match(path.name):
            remove_own(path, CHECKPOINT_FILES)


def _not_a_config(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return "is no file"
    try:
        data = read_yaml(path, "config")
        TrainConfig.parse(data, where=path)
    except UserError as error:
        return f"is no training config of the trainer's ({error.what.splitlines()[0]})"
    return None if "schema_version" in data else "was written by hand, and would be replaced"


def _not_metrics(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return "is no file"
    with path.open("rb") as file:
        first = file.readline(10_000)
    try:
        return None if not first or "step" in json.loads(first) else "holds other lines than the trainer's"
    except (ValueError, TypeError, RecursionError):
        # A crash may have torn the only line that the trainer wrote.
        return None if first.startswith(b'{"step"') else "holds other lines than the trainer's"


def _not_an_adapter(path: Path) -> str | None:
    if not path.is_dir():
        return "is no directory"
    found = {entry.name for entry in path.iterdir()}
    foreign = sorted(found - set(ADAPTER_FILES))
    if foreign:
        return f"holds what the trainer did not write: {', '.join(foreign[:5])}"
    return None if not found or "manifest.json" in found else "has no manifest: the trainer did not write it"


def _not_checkpoints(path: Path) -> str | None:
    if not path.is_dir():
        return "is no directory"
    for step in checkpoints(path):
        if step.is_symlink() or not step.is_dir():
            return f"holds {step.name}, which is no directory"
        foreign = sorted({entry.name for entry in step.iterdir()} - set(CHECKPOINT_FILES))
        if foreign:
            return f"holds what the trainer did not write: {step.name}/{foreign[0]}"
    return None


def _not_a_directory(path: Path) -> str | None:
    return None if path.is_dir() else "is no directory"


_FAULTS: dict[str, Callable[[Path], str | None]] = {
    "config.yaml": _not_a_config,
    "metrics.jsonl": _not_metrics,
    "adapter": _not_an_adapter,
    "checkpoints": _not_checkpoints,
    "trackers": _not_a_directory,
}
