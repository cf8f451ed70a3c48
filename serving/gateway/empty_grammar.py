"""A grammar that no text satisfies (`root ::= root`) is the client's fault; vLLM 0.32 notices while it generates, with 500."""

from __future__ import annotations

import json

from serving.gateway.asgi import Message, Send
from serving.gateway.grammar_limits import FIELDS
from serving.gateway.refusal import Refusal

_FAILED_GENERATION = b'"message":"Internal server error"'


def blame_the_grammar(body: bytes, send: Send) -> Send:
    """A send that turns vLLM's failed generation into 400, for a request that has a grammar; for others `send` itself."""
    if not any(f'"{field}"'.encode() in body for field in FIELDS):
        return send
    held: list[Message] = []

    async def judge(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 500:
            held.append(message)
            return
        if held:
            start, message = _judged(held.pop(), message)
            await send(start)
        await send(message)

    return judge


def _judged(start: Message, answer: Message) -> tuple[Message, Message]:
    if _FAILED_GENERATION not in answer.get("body", b""):
        return start, answer
    refusal = Refusal(400, "no text that the model can write satisfies the request's grammar", "empty_grammar")
    body = json.dumps(refusal.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {**start, "status": refusal.status, "headers": headers}, {**answer, "body": body}
