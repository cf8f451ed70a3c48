"""Bad input, bounded: nothing that a client sends is answered with 5xx.

Half of the requests are drawn by schemathesis from vLLM's own OpenAPI document, valid and broken ones; the other half by
our fuzzer, which knows the models' names, combines options of the search, and damages bytes. ECHO_LORA_FUZZ sets how many
each of them draws; the default keeps a test run short.
"""

import asyncio
import collections
import itertools
import json
import os
import random
import subprocess
import sys

import httpx
import hypothesis
import pytest

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
]
FUZZED = int(os.environ.get("ECHO_LORA_FUZZ", "200"))
PATHS = {"/v1/completions": "CompletionRequest", "/v1/chat/completions": "ChatCompletionRequest"}
# The same application that serves, with the document that our endpoint does not hand out.
OPENAPI = """
import json
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
arguments = make_arg_parser(FlexibleArgumentParser()).parse_args([])
print("OPENAPI", json.dumps(build_app(arguments, ("generate",)).openapi()))
"""


@pytest.fixture(scope="module")
def models(endpoint):
    with endpoint.http() as http:
        return [*(model["id"] for model in http.get("/v1/models").json()["data"]), "nobody"]


@pytest.fixture(scope="module")
def openapi():
    out = subprocess.run([sys.executable, "-c", OPENAPI], capture_output=True, text=True, check=True).stdout
    return json.loads(next(line for line in out.splitlines() if line.startswith("OPENAPI "))[8:])


def drawn_by_schemathesis(openapi, models, count, seed):
    """Path and body of requests; most of the objects are given a model, a prompt and an end."""
    schemathesis = pytest.importorskip("schemathesis")
    document, draw, requests = schemathesis.openapi.from_dict(openapi), random.Random(seed), []
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    for path, mode in itertools.product(PATHS, modes):
        strategy = document[path]["POST"].as_strategy(generation_mode=mode)
        for case in examples(strategy, count // (len(PATHS) * len(modes)), seed):
            body = case.body
            if isinstance(body, dict) and draw.random() < 0.8:
                start = {"prompt": "is 4 even?"} if path == "/v1/completions" else {}
                body = {**start, **body, "model": draw.choice(models), "max_tokens": draw.randint(0, 4)}
            requests.append((path, body if isinstance(body, bytes) else json.dumps(body).encode()))
    return requests


def examples(strategy, count, seed):
    """What hypothesis draws, the same for the same seed."""
    drawn = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(example):
        drawn.append(example)

    draw()
    return drawn


def drawn_by_our_fuzzer(openapi, models, count, seed, request_fuzzer):
    components = openapi["components"]["schemas"]
    fuzzers = {
        path: request_fuzzer.RequestFuzzer({**components[name], "$defs": components}, models, seed)
        for path, name in PATHS.items()
    }
    return [(path, fuzzers[path].body()) for _ in range(count // len(PATHS)) for path in PATHS]


def statuses_of(endpoint, requests):
    """Sends all, eight at a time; the first 5xx fails with its request."""

    async def send():
        headers = {"authorization": f"Bearer {endpoint.key}", "content-type": "application/json"}
        places, statuses = asyncio.Semaphore(8), collections.Counter()
        async with httpx.AsyncClient(base_url=endpoint.url, headers=headers, timeout=300, trust_env=False) as client:

            async def one(path, body):
                async with places:
                    try:
                        answer = await client.post(path, content=body)
                    except httpx.TransportError as error:
                        raise AssertionError(f"no answer to {path} {body[:1000]!r}") from error
                    statuses[answer.status_code] += 1
                    assert answer.status_code < 500, (path, body[:1000], answer.text[:500])

            await asyncio.gather(*(one(path, body) for path, body in requests))
        return statuses

    return asyncio.run(send())


@pytest.mark.parametrize("source", ["schemathesis", "our fuzzer"])
def test_no_request_is_answered_with_5xx_and_the_adapters_still_answer(
    endpoint, models, openapi, request_fuzzer, source
):
    if source == "schemathesis":
        requests = drawn_by_schemathesis(openapi, models, FUZZED, seed=1)
    else:
        requests = drawn_by_our_fuzzer(openapi, models, FUZZED, 1, request_fuzzer)
    statuses = statuses_of(endpoint, requests)
    print(source, len(requests), dict(statuses))
    assert statuses[200] > len(requests) / 20
    assert statuses[400] > len(requests) / 20
    with endpoint.http() as http:
        assert http.get("/health").status_code == 200
