"""Requests that vLLM 0.32 answers with 500; what it refuses itself is not our business."""

import json
import subprocess
import sys

import pytest

from serving.gateway.request_validation import fault_of

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


def test_more_parts_than_a_message_should_have_are_refused():
    assert "4,096 parts" in fault_of(CHAT, chat(*[{"type": "text", "text": "x"}] * 5000))


@pytest.mark.parametrize(
    ("arguments", "fault"), [("[" * 100_000, "too deeply"), ('{"a": 1}', None), ("{", None), (7, None)]
)
def test_arguments_of_tool_calls_that_no_parser_survives_are_refused(arguments, fault):
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}, 7]
    body = {"model": "a", "messages": [{"role": "assistant", "tool_calls": calls}]}
    found = fault_of(CHAT, json.dumps(body).encode())
    assert found is None if fault is None else fault in found


def test_text_content_passes():
    assert fault_of(CHAT, chat({"type": "text", "text": "hi"})) is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000, b'{"messages": 7}', b'{"messages": [7]}']
)
def test_what_vllm_refuses_itself_is_left_to_it(body):
    assert fault_of(CHAT, body) is None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"model": ""}, "name is empty"),
        ({"kv_transfer_params": {}}, "kv_transfer_params is for engines"),
        ({"ec_transfer_params": {"a": 1}}, "ec_transfer_params"),
        ({"vllm_xargs": {"a": [1]}}, "vllm_xargs"),
        ({"priority": -5}, "priority is the same"),
        ({"priority": "-5"}, "priority is the same"),
        ({"stop": ["a"] * 5000}, "stop has more than 4,096 entries"),
        ({"logit_bias": {str(i): 1 for i in range(5000)}}, "logit_bias has more"),
        ({"prompt": ["a"] * 100, "n": 100}, "100 prompts with 100 answers"),
        ({"n": 10_000}, "1 prompts with 10,000 answers"),
        ({"structured_outputs": {"regex": ".*" * 500}}, "quantifiers"),
    ],
)
def test_what_one_client_should_not_ask_for_is_refused(options, word):
    body = {"model": "a", "prompt": "x", **options}
    assert word in fault_of(COMPLETION, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model": "a", "prompt": "x", "stop": ["\udfff"]}',
        rb'{"model": "a", "prompt": "x", "\ud83d": 1}',
        b'{"model": "a", "prompt": "x", "session_id": "\xed\xa0\x80"}',
        r'{"model": "a", "prompt": "\ud83d"}'.encode("utf-16-le"),
    ],
)
def test_half_a_surrogate_pair_is_no_text(body):
    assert "surrogate" in fault_of(COMPLETION, body)


@pytest.mark.parametrize("prompt", [r'"\ud83d\ude00"', '"\U0001f600 ä"', r'"\\ud83d \n"'])
def test_text_of_any_language_passes(prompt):
    assert fault_of(COMPLETION, f'{{"model": "a", "prompt": {prompt}}}'.encode()) is None


def test_what_many_clients_ask_for_passes():
    many = {"model": None, "prompt": ["a"] * 1000, "n": 1, "priority": 0, "vllm_xargs": None, "stop": ["a", "b"]}
    assert fault_of(COMPLETION, json.dumps(many).encode()) is None
    assert fault_of(COMPLETION, json.dumps({"prompt": [5] * 100_000, "n": 8}).encode()) is None


BEAMS = {"model": "a", "use_beam_search": True}
QUESTION = [{"role": "user", "content": "x"}]
ONLY_Y = {"model": "a", "prompt": "x", "structured_outputs": {"choice": ["y"]}}
JSON = {"model": "a", "messages": QUESTION, "response_format": {"type": "json_object"}}
# Path, body, and a word of the answer; None where vLLM may have it.
AGAINST_THE_MODELS = [
    (COMPLETION, {"model": "a", "prompt": "x", "structured_outputs": True}, "'bool' object has no attribute"),
    (COMPLETION, {**BEAMS, "prompt": [[]], "max_tokens": 0}, "at least one token"),
    (COMPLETION, {**BEAMS, "prompt": [], "max_tokens": -1}, "at least one token"),
    (COMPLETION, {**BEAMS, "prompt": [""], "add_special_tokens": False, "max_tokens": "0"}, "at least one token"),
    (COMPLETION, {**BEAMS, "prompt": "x", "truncate_prompt_tokens": 0, "max_tokens": 0}, "at least one token"),
    (COMPLETION, {**BEAMS, "prompt": [[]]}, None),
    (COMPLETION, {**BEAMS, "prompt": "x", "max_tokens": 1}, None),
    (COMPLETION, {"model": "a", "prompt": "x", "max_tokens": 0, "echo": True}, None),
    (CHAT, {**BEAMS, "messages": QUESTION, "max_tokens": 0}, "at least one token"),
    (CHAT, {**BEAMS, "messages": QUESTION, "max_tokens": 4, "max_completion_tokens": 0}, "at least one token"),
    (CHAT, {**BEAMS, "messages": QUESTION}, None),
    (CHAT, {**BEAMS, "messages": []}, None),
    (COMPLETION, {**BEAMS, "prompt": "x", "length_penalty": -1e308}, "length penalty"),
    (COMPLETION, {**BEAMS, "prompt": "x", "length_penalty": 0.5}, None),
    (COMPLETION, {**ONLY_Y, "allowed_token_ids": [3]}, "no token that allowed_token_ids"),
    (COMPLETION, {**ONLY_Y, "bad_words": ["y"]}, "no token that bad_words"),
    (COMPLETION, {**ONLY_Y, "stop_token_ids": [91], "min_tokens": 5}, "no token that stop_token_ids"),
    (COMPLETION, {**ONLY_Y, "stop_token_ids": [91]}, None),
    (COMPLETION, {"model": "a", "prompt": "x", "allowed_token_ids": [3], "bad_words": ["y"]}, None),
    (CHAT, {**JSON, "allowed_token_ids": [3]}, "no token that allowed_token_ids"),
    (CHAT, {**JSON, "response_format": {"type": "text"}, "allowed_token_ids": [3]}, None),
    (CHAT, JSON, None),
]


@pytest.fixture(scope="module")
def faults():
    """Every answer of a process that has vLLM's request models loaded, as vLLM's own has."""
    program = (
        "import json, sys\n"
        "import vllm.entrypoints.openai.chat_completion.protocol, vllm.entrypoints.openai.completion.protocol\n"
        "from serving.gateway.request_validation import fault_of\n"
        "print('FAULTS', json.dumps([fault_of(path, json.dumps(body).encode()) for path, body, _ in json.load(sys.stdin)]))"
    )
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, input=json.dumps(AGAINST_THE_MODELS), capture_output=True, text=True, check=True)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FAULTS "))[7:])


@pytest.mark.vllm
@pytest.mark.parametrize("number", range(len(AGAINST_THE_MODELS)))
def test_what_vllms_models_break_on_or_let_through_wrongly_is_refused(faults, number):
    _, body, word = AGAINST_THE_MODELS[number]
    assert (faults[number] is None) if word is None else (word in faults[number]), body
