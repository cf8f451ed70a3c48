"""One line per request, with its id, and without its prompt, its answer or its key."""

import asyncio
import json
import logging

import pytest

from serving.gateway.request_log import LoggedRequest, request_log

SCOPE = {"method": "POST", "path": "/v1/completions", "client": ("10.0.0.7", 1234)}


def answered(*headers, status=200, path="/v1/completions", quiet=False):
    """A request that was answered with two pieces, and the messages that were sent."""
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        request = LoggedRequest({**SCOPE, "path": path, "headers": list(headers)}, send)
        request.quiet = quiet
        await request.raw(status, b"the secret of the answer")
        return request

    return asyncio.run(answer()), sent


@pytest.fixture
def lines(caplog):
    """The log's lines, as they are written."""
    logger = request_log()
    logger.addHandler(caplog.handler)
    yield lambda: [json.loads(record.getMessage()) for record in caplog.records]
    logger.removeHandler(caplog.handler)


def test_a_good_request_id_is_kept_and_given_to_vllm_and_to_the_client():
    request, sent = answered((b"x-request-id", b"mine-1"))
    assert request.request_id == "mine-1"
    assert (b"x-request-id", b"mine-1") in request.scope["headers"]
    assert (b"x-request-id", b"mine-1") in sent[0]["headers"]


@pytest.mark.parametrize("odd", [b'a"b c', b"", b"x" * 65, b"a\n", b"\xc3\xa4"])
def test_an_odd_request_id_is_replaced(odd):
    request, _ = answered((b"x-request-id", odd))
    assert len(request.request_id) == 16
    assert (b"x-request-id", odd) not in request.scope["headers"]


def test_the_line_says_who_asked_what_and_how_it_ended(lines):
    answered((b"authorization", b"Bearer key"))[0].log()
    (line,) = lines()
    assert (line["client"], line["path"], line["status"], line["complete"]) == (
        *("10.0.0.7", "/v1/completions", 200, True),
    )
    assert line["sent_bytes"] == 24
    assert "secret" not in json.dumps(line)
    assert "key" not in json.dumps(line)


def test_health_checks_that_succeed_and_the_supervisor_leave_no_line(lines):
    for request in (answered(path="/ready"), answered(quiet=True)):
        request[0].log()
    assert lines() == []
    answered(path="/ready", status=503)[0].log()
    assert [line["status"] for line in lines()] == [503]


def test_the_logger_writes_once_however_often_it_is_asked_for():
    assert request_log() is request_log() is logging.getLogger("serving.requests")
    assert len([handler for handler in request_log().handlers if type(handler) is logging.StreamHandler]) == 1
