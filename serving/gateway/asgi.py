"""The types of ASGI, and two ways to hand a request's body on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that hands over the collected body once, then whatever the client does next (it may disconnect)."""
    pending = [body]

    async def next_message() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return next_message


async def no_body() -> Message:
    """The receive of a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}
