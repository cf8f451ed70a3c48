"""Removes what a program left behind, and says whether the container is as it was before."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
from pathlib import Path

TEMPORARY = "/tmp"  # noqa: S108
SHARED_MEMORY = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")  # a heading, then one line per object


def kill_everything() -> None:
    """Ends every other process of the container at once, so that no fork can outrun it, and collects them all."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def empty_temporary_files() -> None:
    """Empties /tmp. Raises OSError or RecursionError for a tree made to resist; the container is then given up."""
    for entry in os.scandir(TEMPORARY):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, stat.S_IRWXU)
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def found() -> list[str]:
    """What is still there that a fresh container does not have."""
    processes = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    left = [f"process {name}" for name in processes]
    for directory in (TEMPORARY, "/dev/shm", "/dev/mqueue"):  # noqa: S108
        if os.path.isdir(directory) and os.listdir(directory):
            left.append(f"files in {directory}")
    left += [table for table in SHARED_MEMORY if len(Path(table).read_text().splitlines()) > 1]
    return left
