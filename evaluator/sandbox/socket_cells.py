"""Cells that run beside the evaluator, as compose starts them, and call it over a socket on a volume they share.

The cells see the volume read-only, and the socket exists only while no program runs: it is closed and removed before
the first one starts, so that no program ever finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Self

from evaluator.sandbox.cells import Cell, CellLost
from schemas.errors import UserError

SOCKET = "evaluator.sock"
FIRST_SECONDS = 15.0  # a cell that was given up restarts and calls again within about a second
NEXT_SECONDS = 1.0


class SocketCells:
    """Cells that call a socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cells: list[Cell] = []

    def __enter__(self) -> Self:
        """Takes the sandbox for this evaluator alone."""
        try:
            self._lock = open(self._directory / "lock", "w")
        except OSError as error:
            raise UserError(
                f"the sandbox's volume cannot be used: {error.strerror}",
                where=self._directory,
                fix="$SANDBOX_DIRECTORY must name the directory that the cells of the `sandbox` service share",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UserError(
                "another evaluation uses the sandbox", where=self._directory, fix="wait for it to finish"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the cells go; they wait for the next evaluator."""
        for cell in self._cells:
            cell.close()
        self._lock.close()

    def cells(self, count: int) -> list[Cell]:
        """At most `count` idle cells: those at hand, and those that call within a few seconds."""
        self._cells = [cell for cell in self._cells if not cell.lost]
        missing = count - len(self._cells)
        if missing:
            self._cells += self._callers(missing)
        if len(self._cells) < 2:
            raise UserError(
                "generated programs run only where they are isolated, and the sandbox's containers do not answer",
                where=self._directory,
                fix="docker compose up -d sandbox",
            )
        return self._cells[:count]

    def _callers(self, count: int) -> list[Cell]:
        path = self._directory / SOCKET
        path.unlink(missing_ok=True)
        cells: list[Cell] = []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            os.chmod(path, 0o666)  # noqa: S103  (the cells' user is another one)
            listener.listen(count)
            deadline = time.monotonic() + FIRST_SECONDS
            while len(cells) < count:
                listener.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    break
                with contextlib.suppress(CellLost):
                    cells.append(Cell(SocketStream(connection)))
                if len(cells) + len(self._cells) >= 2:
                    deadline = min(deadline, time.monotonic() + NEXT_SECONDS)
            path.unlink()
        return cells


class SocketStream:
    """A connection from a cell."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, data: bytes, seconds: float) -> None:
        """Sends everything."""
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """Some bytes."""
        self._socket.settimeout(seconds)
        return self._socket.recv(2**16)

    def close(self) -> None:
        """Ends the connection; the cell waits for the next."""
        self._socket.close()
