"""Handing a body on."""

import asyncio

from serving.gateway.asgi import no_body, replay


async def gone():
    return {"type": "http.disconnect"}


def test_the_body_comes_once_and_then_what_the_client_does():
    async def three():
        receive = replay(b"body", gone)
        return [await receive() for _ in range(3)]

    first, *rest = asyncio.run(three())
    assert first == {"type": "http.request", "body": b"body", "more_body": False}
    assert rest == [{"type": "http.disconnect"}] * 2


def test_a_request_without_a_body_has_an_empty_one():
    assert asyncio.run(no_body()) == {"type": "http.request", "body": b"", "more_body": False}
