"""One HTTP request: its request id, its answer, and its line in the log. The log never holds a prompt or an answer."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_log() -> logging.Logger:
    """The logger of one JSON object per request, on standard error."""
    logger = logging.getLogger("serving.requests")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


class LoggedRequest:
    """Wraps `send`: adds the request id, and notes status, size and times."""

    def __init__(
        self, scope: MutableMapping[str, Any], send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ) -> None:
        self.scope, self._send = scope, send
        self.started = time.perf_counter()
        self.status: int | None = None
        self.sent_bytes = 0
        self.complete = False
        self.quiet = False  # set for the supervisor's own requests
        self.first_byte: float | None = None
        given = self.header("x-request-id")
        self.request_id = given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self._pass_request_id_on()

    def header(self, name: str) -> str | None:
        """A request header's first value."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted), None)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Sends one ASGI message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [pair for pair in message.get("headers", []) if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", self.request_id.encode())]}
        elif message["type"] == "http.response.body":
            self.first_byte = self.first_byte or time.perf_counter()
            self.sent_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def json(self, status: int, body: object, *, headers: Mapping[str, str] | None = None) -> None:
        """Answers with a JSON document."""
        await self.raw(status, json.dumps(body).encode(), headers=headers)

    async def raw(self, status: int, body: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answers with bytes that are JSON already."""
        lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        encoded = [(key.encode(), value.encode()) for key, value in lines.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})

    def log(self) -> None:
        """Writes the request's line; the supervisor's requests and health checks that succeed would drown the rest."""
        if self.quiet or (self.status == 200 and self.scope["path"] in ("/live", "/ready", "/health")):
            return
        now = time.perf_counter()
        line = {
            "time": round(time.time(), 3),
            "request_id": self.request_id,
            "client": (self.scope.get("client") or ("unix", 0))[0],
            "method": self.scope["method"],
            "path": self.scope["path"][:200],
            "status": self.status,
            "seconds": round(now - self.started, 4),
            "first_byte_seconds": None if self.first_byte is None else round(self.first_byte - self.started, 4),
            "sent_bytes": self.sent_bytes,
            "complete": self.complete,
        }
        request_log().info(json.dumps(line))

    def _pass_request_id_on(self) -> None:
        """vLLM names its own request after the header, so that its logs and ours can be joined."""
        headers = [pair for pair in self.scope["headers"] if pair[0] != b"x-request-id"]
        self.scope["headers"] = [*headers, (b"x-request-id", self.request_id.encode())]
