"""Reads an API key from a file: secrets stand in files, never in documents, options or the environment."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UserError
from schemas.storage.plain_file import read_bounded

_LONGEST = 64 * 1024


def read_key(path: Path) -> str:
    """The key, without surrounding white space.

    Raises:
        UserError: the file is missing, empty or no text.
    """
    try:
        key = read_bounded(path, "API key file", limit=_LONGEST).decode().strip()
    except UnicodeDecodeError:
        raise UserError("the API key file cannot be read: it is no text", where=path) from None
    if not key:
        raise UserError("the API key file is empty", where=path, fix="put the key into it, and nothing else")
    return key
