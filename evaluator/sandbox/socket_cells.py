"""Cells that run beside the evaluator, as compose starts them, and call it over a socket on a volume they share.

No program can be such a caller: it sees neither the volume nor the key on it, and has no UNIX sockets. A caller that does
not know the key is no cell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from evaluator.sandbox.cells import Cell, CellLost
from schemas.errors import UserError

SOCKET, KEY = "evaluator.sock", "key"
FIRST_SECONDS = 15.0  # a cell that was given up restarts and calls again within seconds
HELLO_SECONDS = 10.0
BACKLOG = 64


class SocketCells:
    """Cells that call a socket in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = secrets.token_hex(32)
        self._ready: queue.Queue[Cell | UserError] = queue.Queue()
        self._alive: set[Cell] = set()
        self._pairs = 0
        self._lock = threading.Lock()
        self._pairing = threading.Lock()

    def __enter__(self) -> Self:
        """Takes the sandbox for this evaluator alone, and lets its cells call."""
        try:
            self._claim = open(self._directory / "lock", "w")
        except OSError as error:
            raise UserError(
                f"the sandbox's volume cannot be used: {error.strerror}",
                where=self._directory,
                fix="$SANDBOX_DIRECTORY must name the directory that the cells of the `sandbox` service share",
            ) from error
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._claim.close()
            raise UserError(
                "another evaluation uses the sandbox", where=self._directory, fix="wait for it to finish"
            ) from error
        self._listen()
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the cells go; they wait for the next evaluator."""
        for name in (SOCKET, KEY):
            (self._directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            cells = list(self._alive)
        for cell in cells:
            cell.close()
        self._claim.close()

    def prepare(self, count: int) -> None:
        """Nothing: the engine keeps as many cells as compose says."""

    @contextlib.contextmanager
    def pair(self) -> Iterator[tuple[Cell, Cell]]:
        """Two cells; those that may not run again are let go, and call again when they are fresh."""
        with self._pairing:  # two that wait for one more each would wait for ever
            first = self._take()
            try:
                second = self._take()
            except BaseException:
                self._give_back(first)
                raise
            with self._lock:
                self._pairs += 1
        try:
            yield first, second
        finally:
            with self._lock:
                self._pairs -= 1
            for cell in (first, second):
                self._give_back(cell)

    def _take(self) -> Cell:
        while True:
            try:
                made = self._ready.get(timeout=FIRST_SECONDS)
            except queue.Empty:
                if self._pairs:
                    continue  # others work and will give theirs back
                raise UserError(
                    "generated programs run only where they are isolated, and the sandbox's containers do not answer",
                    where=self._directory,
                    fix="docker compose up -d sandbox",
                ) from None
            if isinstance(made, UserError):
                raise made
            return made

    def _give_back(self, cell: Cell) -> None:
        if cell.fit:
            self._ready.put(cell)
            return
        cell.close()
        with self._lock:
            self._alive.discard(cell)

    def _listen(self) -> None:
        path, key = self._directory / SOCKET, self._directory / KEY
        path.unlink(missing_ok=True)
        key.unlink(missing_ok=True)
        key.write_text(self._key)
        key.chmod(0o644)  # the cells' user is another one, and nobody else has this volume
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        os.chmod(path, 0o666)  # noqa: S103
        self._listener.listen(BACKLOG)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        """Greets each caller in a thread of its own, so that one that says nothing delays no other."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        try:
            cell = Cell(SocketStream(connection), key=self._key, seconds=HELLO_SECONDS)
        except CellLost:
            return
        except UserError as error:
            self._ready.put(error)
            return
        with self._lock:
            self._alive.add(cell)
        self._ready.put(cell)


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
        return self._socket.recv(2**18)

    def close(self) -> None:
        """Ends the connection; the cell ends what runs in it and waits for the next evaluator."""
        self._socket.close()
