"""What can be refused before anything is loaded: the address, and the file with the key."""

from __future__ import annotations

import socket
from pathlib import Path

from schemas.errors import UserError


def require_free_port(host: str, port: int) -> None:
    """Refuses a port in use before anything is loaded.

    Raises:
        UserError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UserError(
                f"the port cannot be used: {error.strerror}",
                where=f"{host}:{port}",
                fix="stop what uses it, or --port N",
            ) from None


def read_api_key(path: Path | None) -> str | None:
    """The key in the file, without surrounding white space; None without a file.

    Raises:
        UserError: the file is missing or empty.
    """
    if path is None:
        return None
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the API key file cannot be read: {error}", where=path) from None
    if not key:
        raise UserError("the API key file is empty", where=path, fix="put a long random text into it")
    return key
