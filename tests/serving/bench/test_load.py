"""A block's times, measured on an endpoint that takes a known time per token."""

import asyncio
import json

import httpx
import pytest

from schemas.errors import UserError
from serving.bench.load import random_prompts, run_block, timed_request

PROMPTS = random_prompts(4, 3, range(100), seed=0)


def endpoint(tokens, status=200, seen=None):
    """An endpoint that streams so many tokens, one by one, or refuses."""

    async def answer(scope, receive, send):
        body = json.loads((await receive())["body"])
        if seen is not None:
            seen.append(body["prompt"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        for token in range(tokens):
            choice = {"choices": [{"token_ids": [token]}]}
            piece = f"data: {json.dumps(choice)}\n\n".encode()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    return httpx.AsyncClient(transport=httpx.ASGITransport(app=answer), base_url="http://endpoint")


def test_prompts_are_drawn_from_the_vocabulary_and_share_nothing_with_another_seed():
    assert {token for prompt in PROMPTS for token in prompt} <= set(range(100))
    assert random_prompts(4, 3, range(100), seed=0) == PROMPTS
    assert not {tuple(p) for p in PROMPTS} & {tuple(p) for p in random_prompts(4, 3, range(100), seed=1)}


def test_every_prompt_of_a_block_is_asked_once_and_timed():
    seen = []

    async def block():
        async with endpoint(5, seen=seen) as client:
            return await run_block(client, "a", PROMPTS, 5, concurrency=2)

    speed = asyncio.run(block())
    assert sorted(seen) == sorted(PROMPTS)
    assert 0 < speed.inter_token_latency < speed.time_to_first_token
    assert 0 < speed.seconds_per_token < 1


@pytest.mark.parametrize(("tokens", "status", "complaint"), [(3, 200, "3 tokens came"), (5, 429, "answered 429")])
def test_an_answer_that_is_not_what_was_asked_for_is_no_measurement(tokens, status, complaint):
    async def ask():
        async with endpoint(tokens, status) as client:
            await timed_request(client, "a", PROMPTS[0], 5)

    with pytest.raises(UserError, match=complaint):
        asyncio.run(ask())
