"""Load, bounded: every answer is the one its model gives alone, and nothing is lost.

ECHO_LORA_SOAK sets the number of requests; the default keeps a test run short.
"""

import asyncio
import collections
import os
import random

import httpx
import psutil
import pytest
from openai import AsyncOpenAI

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3600)]
SOAKED = int(os.environ.get("ECHO_LORA_SOAK", "120"))
QUESTIONS = [f"is the number {i} even?" for i in range(8)]
OPTIONS = {"max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def models(endpoint):
    with endpoint.http() as http:
        return [model["id"] for model in http.get("/v1/models").json()["data"]]


def connect(endpoint):
    http = httpx.AsyncClient(timeout=300, trust_env=False)
    return AsyncOpenAI(base_url=f"{endpoint.url}/v1", api_key=endpoint.key, max_retries=0, http_client=http)


async def whole(client, model, question):
    return (await client.completions.create(model=model, prompt=question, **OPTIONS)).choices[0].text


async def streamed(client, model, question, pause=0.0):
    text = ""
    async for chunk in await client.completions.create(model=model, prompt=question, stream=True, **OPTIONS):
        text += chunk.choices[0].text if chunk.choices else ""
        await asyncio.sleep(pause)
    return text


async def cancelled(client, model, question):
    """Leaves after the first piece; the server must free what it held."""
    stream = await client.completions.create(model=model, prompt=question, max_tokens=200, stream=True)
    async for _ in stream:
        break
    await stream.close()


def resident_megabytes(pid):
    """Of the whole process tree."""
    server = psutil.Process(pid)
    return sum(process.memory_info().rss for process in (server, *server.children(recursive=True))) / 2**20


def test_mixed_load_gives_every_client_its_own_answer_and_memory_stays_flat(endpoint, models):
    draw = random.Random(0)

    async def soak(client, alone, requests, tally):
        places = asyncio.Semaphore(8)

        async def one():
            model, question, kind = draw.choice(models), draw.choice(QUESTIONS), draw.random()
            async with places:
                if kind < 0.1:
                    await cancelled(client, model, question)
                    tally["cancelled"] += 1
                    return
                slow = 0.05 if kind < 0.2 else 0.0
                ask = whole(client, model, question) if kind > 0.6 else streamed(client, model, question, slow)
                tally["right" if await ask == alone[model, question] else "wrong"] += 1

        await asyncio.gather(*(one() for _ in range(requests)))

    async def story():
        tally = collections.Counter()
        async with connect(endpoint) as client:
            alone = {(m, q): await whole(client, m, q) for m in models for q in QUESTIONS}
            await soak(client, alone, SOAKED // 2, tally)
            before = resident_megabytes(endpoint.process.pid)
            await soak(client, alone, SOAKED - SOAKED // 2, tally)
            return tally, before, resident_megabytes(endpoint.process.pid)

    tally, before, after = asyncio.run(story())
    print(dict(tally), f"memory {before:.0f} MB, then {after:.0f} MB")
    assert tally["wrong"] == 0
    assert tally.total() == SOAKED
    assert after < before * 1.05 + 20


def test_a_crowd_is_served_or_told_to_wait_and_nothing_else(endpoint):
    async def crowd():
        headers = {"authorization": f"Bearer {endpoint.key}"}
        body = {"model": "echo", "prompt": "x", "max_tokens": 16, "ignore_eos": True}
        async with httpx.AsyncClient(base_url=endpoint.url, headers=headers, timeout=300, trust_env=False) as client:
            answers = await asyncio.gather(*(client.post("/v1/completions", json=body) for _ in range(60)))
        return collections.Counter(answer.status_code for answer in answers)

    statuses = asyncio.run(crowd())
    assert set(statuses) == {200, 429}
    assert statuses[200] >= 16


def test_prompt_log_probabilities_among_other_requests_do_not_kill_the_engine(endpoint):
    async def mixed():
        headers = {"authorization": f"Bearer {endpoint.key}"}
        plain = {"model": "echo", "prompt": "x", "max_tokens": 30, "ignore_eos": True}
        asking = {"model": "plain", "prompt": "a longer prompt than the others", "max_tokens": 1, "prompt_logprobs": 1}
        async with httpx.AsyncClient(base_url=endpoint.url, headers=headers, timeout=300, trust_env=False) as client:
            bodies = [plain, plain, asking, plain, asking, plain] * 2
            answers = await asyncio.gather(*(client.post("/v1/completions", json=body) for body in bodies))
        return {answer.status_code for answer in answers}

    assert asyncio.run(mixed()) == {200}
