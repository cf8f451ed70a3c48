"""Reads a whole file that somebody else may have put there: a regular one, of a bounded size, or an error that says why."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from schemas.errors import UserError


def read_bounded(path: Path, title: str, *, limit: int, fix: str | None = None) -> bytes:
    """The file's bytes.

    Args:
        path: the file.
        title: what the file should be, for errors.
        limit: most bytes it may have.
        fix: what to do where it is missing.

    Raises:
        UserError: it is missing, cannot be opened, is a directory, pipe or device, or is larger than the limit.
    """
    try:
        # A pipe that nobody writes to must not hold us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UserError(f"no {title} found", where=path, fix=fix) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the {title} cannot be read: {reason}", where=path) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise UserError(f"the {title} cannot be read: it is no regular file", where=path)
    with open(descriptor, "rb") as file:
        data = file.read(limit + 1) if status.st_size <= limit else b""
    if status.st_size > limit or len(data) > limit:
        raise UserError(f"the {title} is larger than {limit:,} bytes, the most that is read", where=path)
    return data
