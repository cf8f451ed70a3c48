"""One client's connection: uvicorn's own protocol with the deadlines and bounds that uvicorn lacks.

uvicorn waits for ever for the end of a request's headers, keeps as many of them as come, reads on after it has answered,
and waits for ever for a client that does not read. Here a connection always has either a request that the server is
working on, or a deadline by which the client must get on; a client that misses it is cut off.

`install` makes it the protocol of every uvicorn server of this process: vLLM chooses none and takes uvicorn's "auto".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Awaited = Literal["request", "headers", "body", "answer"]
"""What comes next on a connection: a request's first byte, the rest of its headers, the rest of its body, our answer."""

_FRAMING = 8
"""Bytes per byte of body that chunked encoding may take; chunks of a single byte need six."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may take."""

    connections: int = 1024
    """Open at once; one more closes the one that has kept us waiting longest."""
    header_seconds: float = 10.0
    """From the first byte, or from connecting, to the end of the headers."""
    header_bytes: int = 64 * 1024
    """Request line and headers."""
    header_count: int = 100
    """Headers of one request."""
    body_seconds: float = 60.0
    """From the headers' end to the body's. A backstop: the gateway answers 408 to a slow body before."""
    unread_seconds: float = 30.0
    """For a client to read enough of its answer that the next piece can be sent."""
    linger_seconds: float = 5.0
    """For a client that was answered early to end its request, and for the last bytes before closing to be read."""


class GuardedConnection(HttpToolsProtocol):
    """See the module's text."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.awaited: Awaited = "request"
        self.waiting_since = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._unread_deadline: asyncio.TimerHandle | None = None
        self._body_bytes = 0
        self._other_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client that connects has a request to send."""
        super().connection_made(transport)
        self._await("request", self.limits.header_seconds)
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives its connection."""
        self._stop_deadline()
        self._stop_unread_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts what is not body: headers without end, trailers, the framing of chunks."""
        if self.awaited == "request":  # empty lines before a request begin none for the parser, but count as one here
            self._await("headers", self.limits.header_seconds)
        self._other_bytes += len(data)
        super().data_received(data)
        if self._other_bytes > self.limits.header_bytes + _FRAMING * self._body_bytes:
            self.cut()

    def on_message_begin(self) -> None:
        """The first byte of a request; of a pipelined one, maybe while the one before is being answered."""
        super().on_message_begin()
        self._await("headers", self.limits.header_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps one more header than is allowed, and no trailer: nothing here reads one."""
        if self.awaited == "headers" and len(self.headers) <= self.limits.header_count:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Starts the request's task, or one that refuses it."""
        self._await("body", self.limits.body_seconds)
        self.app = headers_too_large if len(self.headers) > self.limits.header_count else self.config.loaded_app
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Body that was asked for is the gateway's to limit."""
        self._body_bytes += len(body)
        self._other_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Now it is our turn, unless the request was answered before it was complete."""
        self._body_bytes = self._other_bytes = 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._await("request", self.timeout_keep_alive)
        else:
            self._stop_deadline()
            self.awaited = "answer"

    def on_response_complete(self) -> None:
        """The client's turn again: to send the next request, to end this one, or to read the last bytes."""
        super().on_response_complete()
        if self.transport.is_closing() or (self.awaited == "body" and self.cycle.response_complete):
            self._await(self.awaited, self.limits.linger_seconds)
        elif self.awaited == "answer" and self.cycle.response_complete:
            self._await("request", self.timeout_keep_alive)

    def send_400_response(self, msg: str) -> None:
        """Answers to what is no HTTP, and closes."""
        super().send_400_response(msg)
        self._await(self.awaited, self.limits.linger_seconds)

    def pause_writing(self) -> None:
        """The client does not read as fast as we answer."""
        super().pause_writing()
        self._unread_deadline = self.loop.call_later(self.limits.unread_seconds, self.cut)

    def resume_writing(self) -> None:
        """It has read."""
        self._stop_unread_deadline()
        super().resume_writing()

    def cut(self) -> None:
        """Ends the connection at once; a request that is being answered learns that its client is gone."""
        if self.transport is not None:
            self.transport.abort()

    def _should_upgrade(self) -> bool:
        """No WebSockets: nothing is served over them, and their handshake would leave this class."""
        return False

    def _await(self, awaited: Awaited, seconds: float) -> None:
        self._stop_deadline()
        self.awaited, self.waiting_since = awaited, self.loop.time()
        self._deadline = self.loop.call_later(seconds, self.cut)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread_deadline(self) -> None:
        if self._unread_deadline is not None:
            self._unread_deadline.cancel()
            self._unread_deadline = None

    def _make_room(self) -> None:
        """Honest clients keep us waiting for milliseconds: whoever has for longest makes room for the newest."""
        guarded = [one for one in self.connections if isinstance(one, GuardedConnection)]
        waiting = [one for one in guarded if one.awaited != "answer" and not one.transport.is_closing()]
        min(waiting, key=lambda one: one.waiting_since).cut()


async def headers_too_large(scope: Any, receive: Any, send: Any) -> None:
    """The application that answers a request with more headers than are read."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def install() -> None:
    """From now on, uvicorn's servers in this process use GuardedConnection unless they ask for another protocol."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{GuardedConnection.__name__}"
