"""Keeps two trainers out of one run directory: each would clear away what the other is writing."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from schemas.errors import UserError
from schemas.run_directory import RunDirectory


@contextlib.contextmanager
def sole_session(run: RunDirectory) -> Iterator[None]:
    """Holds a lock on the run directory, which the system lets go of however the process ends.

    Raises:
        UserError: another process holds it, or the directory cannot be made.
    """
    try:
        run.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(run.root, os.O_RDONLY)
    except OSError as error:
        raise UserError(
            f"the run directory cannot be made: {error.strerror}",
            where=error.filename or run.root,
            fix="mend its rights, or choose other --runs",
        ) from None
    try:
        _lock(descriptor, run)
        yield
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):  # what was refused leaves no empty directory behind
            run.root.rmdir()


def _lock(descriptor: int, run: RunDirectory) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            "another process is training this run", where=run.root, fix="wait for it, stop it, or choose another name"
        ) from None
