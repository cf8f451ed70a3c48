"""What can be refused before anything is loaded: the address, and the file with the key."""

from __future__ import annotations

import socket

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
