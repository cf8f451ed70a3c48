"""Bodies are read whole, within a length, a time and a memory."""

import asyncio

import pytest

from serving.gateway import request_body
from serving.gateway.refusal import Refusal
from serving.gateway.request_body import BodyReader

PIECE = b"x" * 100


def sender(*pieces, then="end"):
    """A receive that gives the pieces, and then the end, nothing at all, or the news that the client is gone."""
    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive():
        if left:
            await asyncio.sleep(0)
            return left.pop(0)
        if then == "nothing":
            await asyncio.sleep(60)
        return {"type": "http.disconnect" if then == "gone" else "http.request", "body": b""}

    return receive


def read(receive, declared=None, **options):
    return asyncio.run(BodyReader(1000, **{"seconds": 5.0, **options}).read(receive, declared))


def status(receive, declared=None, **options):
    with pytest.raises(Refusal) as refused:
        read(receive, declared, **options)
    return refused.value.status


def test_a_body_up_to_the_limit_is_read_whole():
    assert read(sender(*[PIECE] * 10), "1000") == PIECE * 10


@pytest.mark.parametrize("declared", ["1001", "9" * 30, "-1", "+5", "1e3", "\xb2"])
def test_a_length_that_is_too_large_or_none_is_refused_unread(declared):
    assert status(sender(then="nothing"), declared) == 413


def test_a_body_that_grows_beyond_the_limit_is_refused():
    assert status(sender(*[PIECE] * 11, then="nothing")) == 413


@pytest.mark.parametrize("patience", [{"seconds": 0.05}, {"pause_seconds": 0.05}])
def test_a_body_that_stops_is_refused_in_time(patience):
    assert status(sender(PIECE, then="nothing"), **patience) == 408


def test_a_client_that_leaves_is_noticed():
    assert status(sender(PIECE, then="gone")) == 400


def test_unfinished_bodies_share_a_bounded_memory_and_the_oldest_gives_way(monkeypatch):
    monkeypatch.setattr(request_body, "UNFINISHED", 2)

    async def many():
        reader = BodyReader(1000, 5.0)
        stuck = [asyncio.create_task(reader.read(sender(*[PIECE] * 9, then="nothing"), None)) for _ in range(3)]
        (first,), _ = await asyncio.wait(stuck, return_when=asyncio.FIRST_COMPLETED)
        honest = await reader.read(sender(PIECE), None)
        held, given_up = reader.held_bytes, stuck.index(first)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        return honest, held, given_up, reader.held_bytes

    assert asyncio.run(many()) == (PIECE, 1800, 0, 0)
