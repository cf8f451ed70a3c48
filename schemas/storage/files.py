"""File operations after which the data are on the disk, errors that name the file, and removals that spare what is not ours."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from schemas.document import sync_directory
from schemas.errors import UserError
from schemas.training.adapter_manifest import FileRecord


def write_durably(path: Path, data: bytes) -> FileRecord:
    """Writes and flushes a file, and returns its identity.

    Raises:
        OSError: with the file's name, also where the system gives none (a full disk).
    """
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return FileRecord(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file.

    Raises:
        OSError: with the file's name.
    """
    try:
        with path.open("a") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def remove_own(directory: Path, names: Collection[str]) -> None:
    """Removes the named files of a directory, and the directory once it is empty; what others put there stays.

    A directory of nothing but these files is renamed first: half of it never keeps the name of the whole. A link is not
    followed.
    """
    if directory.is_symlink() or not directory.is_dir():
        return
    if {path.name for path in directory.iterdir()} <= set(names):
        directory = _renamed_aside(directory, names)
    _empty(directory, names)


def replace_directory(staged: Path, target: Path, names: Collection[str]) -> None:
    """Puts a whole directory in the place of an earlier one, whose named files go only once the new one stands.

    A kill between the two renames leaves no target; `restore_replaced` puts the earlier one back.
    """
    if os.path.lexists(target):
        old = _renamed_aside(target, names)
        os.rename(staged, target)
        sync_directory(target.parent)
        _empty(old, names)
    else:
        os.rename(staged, target)
        sync_directory(target.parent)


def restore_replaced(target: Path) -> None:
    """Undoes the first half of a `replace_directory` that was killed between its two renames."""
    old = _aside(target)
    if not os.path.lexists(target) and os.path.lexists(old):
        os.rename(old, target)


def refuse_occupied(directory: Path) -> None:
    """Whoever writes many files into a directory asks first whether it is empty or not there yet.

    Raises:
        UserError: something lies in it, which could be replaced.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise UserError("the directory is not empty", where=directory, fix="name a new one")


def _aside(path: Path) -> Path:
    return path.with_name(f".removed-{path.name.lstrip('.')}")


def _renamed_aside(path: Path, names: Collection[str]) -> Path:
    aside = _aside(path)
    _empty(aside, names)  # what an earlier kill left of the same
    os.rename(path, aside)
    return aside


def _empty(directory: Path, names: Collection[str]) -> None:
    if directory.is_symlink():
        directory.unlink()
        return
    for name in names:
        with contextlib.suppress(OSError):
            (directory / name).unlink()
    with contextlib.suppress(OSError):
        directory.rmdir()
