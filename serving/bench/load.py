"""One block: waves of requests to one model, timed token by token by a streaming client.

The requests of a wave start together, and the next wave when all are answered. Were each request followed by the next at
once, the first token's time would be the luck of whose prompt is computed just then, far larger than any adapter's cost.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from schemas.errors import UserError


@dataclass(frozen=True)
class BlockSpeed:
    """What one block showed."""

    time_to_first_token: float
    """Median over the waves of the mean of a wave, seconds."""
    inter_token_latency: float
    """Median over the requests of the mean gap between tokens, seconds."""
    seconds_per_token: float
    """Wall time of the block over all tokens generated: the inverse of throughput."""


@dataclass(frozen=True)
class RequestTimes:
    """Seconds from sending a request."""

    first: float
    """To the first token."""
    last: float
    """To the last token."""


def random_prompts(requests: int, tokens: int, vocabulary: Sequence[int], seed: int) -> list[list[int]]:
    """Prompts that share no prefix with those of another seed."""
    draw = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    return [draw.choices(vocabulary, k=tokens) for _ in range(requests)]


async def run_block(
    client: httpx.AsyncClient, model: str, prompts: Sequence[Sequence[int]], output_tokens: int, concurrency: int
) -> BlockSpeed:
    """Sends every prompt, `concurrency` at a time."""
    waves: list[list[RequestTimes]] = []
    started = time.perf_counter()
    for first in range(0, len(prompts), concurrency):
        requests = prompts[first : first + concurrency]
        waves.append(await asyncio.gather(*(timed_request(client, model, each, output_tokens) for each in requests)))
    wall = time.perf_counter() - started
    return BlockSpeed(
        time_to_first_token=statistics.median(statistics.mean(request.first for request in wave) for wave in waves),
        inter_token_latency=statistics.median((r.last - r.first) / (output_tokens - 1) for wave in waves for r in wave),
        seconds_per_token=wall / (output_tokens * len(prompts)),
    )


async def timed_request(
    client: httpx.AsyncClient, model: str, prompt: Sequence[int], output_tokens: int
) -> RequestTimes:
    """One streamed completion.

    Raises:
        UserError: the server refused it, or sent another number of tokens.
    """
    body = {
        **{"model": model, "prompt": list(prompt), "max_tokens": output_tokens, "temperature": 0},
        **{"ignore_eos": True, "stream": True, "return_token_ids": True},
    }
    started, first, last, received = time.perf_counter(), 0.0, 0.0, 0
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        if answer.status_code != 200:
            raise UserError(f"the server answered {answer.status_code}: {(await answer.aread())[:300]!r}", where=model)
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            last = time.perf_counter() - started
            first = first or last
            received += sum(len(choice.get("token_ids") or ()) for choice in json.loads(line[6:])["choices"])
    if received != output_tokens:
        raise UserError(f"{received} tokens came where {output_tokens} were asked for", where=model)
    return RequestTimes(first, last)
