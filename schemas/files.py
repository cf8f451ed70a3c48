"""File operations after which the data are on the disk, and errors that name the file."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

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


def remove_directory(path: Path) -> None:
    """Removes a directory, if there, by renaming it first: half of it never keeps the name of the whole."""
    if not path.exists():
        return
    doomed = path.with_name(f".removed-{path.name.lstrip('.')}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
