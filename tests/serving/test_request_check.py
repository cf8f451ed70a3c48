"""Requests that vLLM 0.32 answers with 500; what it refuses itself is not our business."""

import json

import pytest

from serving.request_check import fault_of

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


def chat(*parts):
    return json.dumps({"model": "a", "messages": [{"role": "user", "content": list(parts)}]}).encode()


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits_are_named(number):
    body = f'{{"model": "a", "prompt": "x", "top_k": {number}}}'.encode()
    assert "does not fit into 64 bits" in fault_of(COMPLETION, body)


def test_integers_of_64_bits_and_long_digits_in_text_pass():
    assert fault_of(COMPLETION, b'{"prompt": "99999999999999999999999", "seed": 9223372036854775807}') is None


@pytest.mark.parametrize(
    "part", [{"type": "input_audio", "input_audio": "x"}, {"type": "image_url"}, {"type": None}, {}]
)
def test_content_that_is_no_text_is_refused(part):
    assert "text model" in fault_of(CHAT, chat(part))


def test_text_content_passes():
    assert fault_of(CHAT, chat({"type": "text", "text": "hi"})) is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"messages": 7}', b'{"messages": [7]}']
)
def test_what_vllm_refuses_itself_is_left_to_it(body):
    assert fault_of(CHAT, body) is None
