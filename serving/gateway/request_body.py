"""Reads request bodies within a length, a time, a pause between two pieces, and a memory for all that are unfinished."""

from __future__ import annotations

import asyncio
import re

from serving.gateway.asgi import Receive
from serving.gateway.refusal import Refusal

PAUSE_SECONDS = 10.0
"""Longest wait for the next piece of a body."""
UNFINISHED = 64
"""Unfinished bodies of the greatest length that are held in memory; beyond, the oldest is given up."""


class BodyReader:
    """Reads the bodies of one server process."""

    def __init__(self, limit: int, seconds: float, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self.limit, self.seconds, self.pause_seconds = limit, seconds, pause_seconds
        self.held_bytes = 0
        self._unfinished: dict[asyncio.Timeout, None] = {}  # in order of arrival

    async def read(self, receive: Receive, declared: str | None) -> bytes:
        """The whole body.

        Args:
            declared: the header content-length.

        Raises:
            Refusal: it is or would be longer than the limit, it came too slowly, or the client went away.
        """
        if declared and (not re.fullmatch("[0-9]{1,18}", declared) or int(declared) > self.limit):
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self.seconds) as timeout:
                self._unfinished[timeout] = None
                try:
                    await self._collect(receive, body)
                finally:
                    del self._unfinished[timeout]
                    self.held_bytes -= len(body)
        except TimeoutError:
            raise Refusal(408, "the request body did not arrive in time", "body_too_slow") from None
        return bytes(body)

    async def _collect(self, receive: Receive, body: bytearray) -> None:
        more = True
        while more:
            async with asyncio.timeout(self.pause_seconds):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client closed the connection", "client_disconnected")
            piece, more = message.get("body", b""), message.get("more_body", False)
            if len(body) + len(piece) > self.limit:
                raise self._too_large()
            body += piece
            self.held_bytes += len(piece)
            if self.held_bytes > UNFINISHED * self.limit:
                self._give_up_the_oldest()

    def _give_up_the_oldest(self) -> None:
        """So that clients who send all but the end fill no memory, and stop nobody who sends a body at once."""
        oldest = next((timeout for timeout in self._unfinished if not timeout.expired()), None)
        if oldest is not None:
            oldest.reschedule(asyncio.get_running_loop().time())

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the request body is larger than {self.limit} bytes", "body_too_large")
