"""A cell is one sandbox container, as the evaluator sees it: orders and messages go in, messages come out, in time."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from evaluator.sandbox.cell import framing
from evaluator.sandbox.cell.framing import BadFrame, Frames, frame
from schemas.errors import UserError

CLEAN_UP_SECONDS = 10.0


class CellLost(Exception):
    """The container ended, hangs, or says what it should not: nothing it said counts."""


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

    def prepare(self, count: int) -> None:
        """Begins to make `count` cells ready."""

    def pair(self) -> AbstractContextManager[tuple[Cell, Cell]]:
        """Two cells in which nothing runs and nothing is left, for one program. Waits for them. Raises UserError."""


class Cell:
    """One container, used for one order at a time.

    Args:
        stream: its bytes, from the supervisor's first message on.
        key: what it must say to be a cell at all, where the stream alone does not prove that.

    Raises:
        CellLost: it does not answer, or has another key.
        UserError: the container does not confine what would run in it.
    """

    def __init__(self, stream: Stream, *, key: str | None = None, seconds: float = 30.0) -> None:
        self._stream = stream
        self._frames = Frames()
        self._lost = False
        self._used = False
        hello = self._hello(time.monotonic() + seconds)
        if hello.get("key") != key:
            raise self._give_up("it has another key")
        self._reusable = hello["reusable"] is True
        if hello["gaps"]:
            self.close()
            raise UserError(
                f"the sandbox container does not isolate: {'; '.join(map(str, hello['gaps']))}",
                fix="start it with the options of the `sandbox` service in compose.yaml, unchanged",
            )

    @property
    def fit(self) -> bool:
        """Whether it may run another order: it never ran one, or each ran in namespaces that are gone."""
        return not self._lost and (self._reusable or not self._used)

    def start(self, order: dict[str, Any]) -> None:
        """Gives the cell its order."""
        assert self.fit
        self._used = True
        self._send(framing.ORDER, json.dumps(order).encode())

    def send(self, body: bytes) -> None:
        """Passes a message to the process of the current order."""
        self._send(framing.MESSAGE, body)

    def receive(self, deadline: float) -> tuple[bytes, bytes]:
        """The next message of the process of the current order: kind and body. Raises ProgramGone, CellLost."""
        kind, body = self._receive(deadline)
        if kind == framing.GONE:
            raise ProgramGone(body.decode("ascii", "replace"))
        if kind not in framing.FROM_A_PROCESS:
            raise self._give_up("it answered out of turn")
        return kind, body

    def finish(self) -> None:
        """Ends the order; returns when the cell says that nothing of it is left. Raises CellLost."""
        self._send(framing.END, b"")
        deadline = time.monotonic() + CLEAN_UP_SECONDS
        while (kind := self._receive(deadline)[0]) != framing.END:
            if kind == framing.HELLO:  # other kinds: an answer that came after the evaluator stopped waiting for it
                raise self._give_up("it answered out of turn")

    def close(self) -> None:
        """Gives the cell up: its container ends, or waits for the next evaluator."""
        self._lost = True
        self._stream.close()

    def _hello(self, deadline: float) -> dict[str, Any]:
        kind, body = self._receive(deadline)
        try:
            hello = json.loads(body)
        except (ValueError, RecursionError):
            hello = None
        if kind != framing.HELLO or not isinstance(hello, dict) or not {"gaps", "reusable"} <= hello.keys():
            raise self._give_up("it does not begin as a cell does")
        return hello

    def _send(self, kind: bytes, body: bytes) -> None:
        try:
            self._stream.send(frame(kind, body), CLEAN_UP_SECONDS)
        except OSError as error:
            raise self._give_up(str(error)) from error

    def _receive(self, deadline: float) -> tuple[bytes, bytes]:
        try:
            while not (message := self._frames.take()):
                received = self._stream.receive(max(0.001, deadline - time.monotonic()))
                if not received:
                    raise self._give_up("it ended")
                self._frames.feed(received)
        except (OSError, BadFrame) as error:
            raise self._give_up(str(error)) from error
        return message

    def _give_up(self, why: str) -> CellLost:
        self.close()
        return CellLost(why)
