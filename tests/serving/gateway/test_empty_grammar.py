"""A generation that fails is the grammar's fault where there is one, and the server's where there is none."""

import asyncio
import json

import pytest

from serving.gateway.empty_grammar import blame_the_grammar

FAILED = b'{"error":{"message":"Internal server error","type":"InternalServerError","param":null,"code":500}}'
DEAD = b'{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}'
WITH, WITHOUT = b'{"structured_outputs": {"grammar": "root ::= root"}}', b'{"prompt": "x"}'


def answered(request, status, body):
    """What the client gets where vLLM answers so."""
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        judged = blame_the_grammar(request, send)
        headers = [(b"content-length", str(len(body)).encode()), (b"x-other", b"1")]
        await judged({"type": "http.response.start", "status": status, "headers": headers})
        await judged({"type": "http.response.body", "body": body})

    asyncio.run(answer())
    start, message = sent
    assert dict(start["headers"])[b"content-length"] == str(len(message["body"])).encode()
    return start["status"], message["body"]


def test_a_failed_generation_with_a_grammar_is_400():
    status, body = answered(WITH, 500, FAILED)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "empty_grammar"


@pytest.mark.parametrize(
    ("request_", "status", "body"), [(WITHOUT, 500, FAILED), (WITH, 500, DEAD), (WITH, 200, b"{}"), (WITH, 503, FAILED)]
)
def test_every_other_answer_stays_as_it_is(request_, status, body):
    assert answered(request_, status, body) == (status, body)
