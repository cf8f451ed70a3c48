"""A cell is one sandbox container, as the evaluator sees it: orders and lines go in, lines come out, under a deadline."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol, Self

from evaluator.sandbox.cell.child import LONGEST_LINE
from evaluator.sandbox.cell.values import to_line
from schemas.errors import UserError

CLEAN_UP_SECONDS = 10.0


class CellLost(Exception):
    """The container ended, hangs, or did not come back as clean as it was: nothing it said counts."""


class ProgramGone(Exception):
    """The process in the cell gave no answer, for the reason stated."""


class Stream(Protocol):
    """Bytes to and from a cell's supervisor."""

    def send(self, data: bytes, seconds: float) -> None:
        """Sends everything. Raises OSError."""

    def receive(self, seconds: float) -> bytes:
        """Some bytes; empty at the end. Raises OSError, TimeoutError among them."""

    def close(self) -> None:
        """Ends the connection, and the container where it lives by this connection."""


class CellPool(Protocol):
    """Where cells come from."""

    def __enter__(self) -> Self:
        """Makes sure that cells can be had. Raises UserError."""

    def __exit__(self, *error: object) -> None:
        """Gives the cells back."""

    def cells(self, count: int) -> list[Cell]:
        """At most `count` idle cells, lost ones replaced. No program runs when this is called. Raises UserError."""


class Cell:
    """One container, used for one order at a time.

    Args:
        stream: its bytes, from the supervisor's first line on.

    Raises:
        UserError: the container does not confine what would run in it.
    """

    def __init__(self, stream: Stream, *, seconds: float = 30.0) -> None:
        self._stream = stream
        self._unread = b""
        self.lost = False
        gaps = json.loads(self._line(time.monotonic() + seconds))["gaps"]
        if gaps:
            self.close()
            raise UserError(
                f"the sandbox container does not isolate: {'; '.join(gaps)}",
                fix="start it with the options of the `sandbox` service in compose.yaml, unchanged",
            )

    def start(self, order: dict[str, Any]) -> None:
        """Gives the cell its order."""
        self.send(to_line(order))

    def send(self, line: bytes) -> None:
        """Passes a line to the process of the current order."""
        self._send(b"+" + line)

    def receive(self, deadline: float) -> bytes:
        """The next line of the process of the current order. Raises ProgramGone, CellLost."""
        line = self._line(deadline)
        if line.startswith(b"-"):
            raise ProgramGone(line[1:].decode("ascii", "replace").strip())
        if not line.startswith(b"+"):
            raise self._give_up("it answered out of turn")
        return line[1:]

    def finish(self) -> None:
        """Ends the order; returns when the cell has killed and removed everything. Raises CellLost."""
        self._send(b".\n")
        deadline = time.monotonic() + CLEAN_UP_SECONDS
        while (line := self._line(deadline)) != b".\n":
            if not line.startswith((b"+", b"-")):  # an answer that came after the evaluator stopped waiting for it
                raise self._give_up("it answered out of turn")

    def close(self) -> None:
        """Gives the cell back: its container ends, or waits for the next evaluator."""
        self._stream.close()

    def discard(self) -> None:
        """Gives the cell up: it is not used again."""
        self.lost = True
        self._stream.close()

    def _send(self, data: bytes) -> None:
        try:
            self._stream.send(data, CLEAN_UP_SECONDS)
        except OSError as error:
            raise self._give_up(str(error)) from error

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._unread:
            try:
                received = self._stream.receive(max(0.001, deadline - time.monotonic()))
            except OSError as error:
                raise self._give_up(str(error)) from error
            self._unread += received
            if not received or len(self._unread) > 2 * LONGEST_LINE:
                raise self._give_up("it ended" if not received else "it wrote too much")
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def _give_up(self, why: str) -> CellLost:
        self.discard()
        return CellLost(why)
