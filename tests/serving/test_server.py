"""The served adapters, asked through the official client, as a user would. One server for all of it."""

import contextlib
import json
import socket
import time

import httpx
import openai
import pytest
from openai import OpenAI

from schemas.adapter_reader import read_adapter
from schemas.serving.serving_attestation import ServingAttestation
from serving.engine.vllm_process import on_cpu

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
MESSAGES = [{"role": "user", "content": "is the red number 4 even?"}]


@pytest.fixture(scope="module")
def http(endpoint):
    with endpoint.http() as http:
        yield http


@pytest.fixture(scope="module")
def client(endpoint):
    transport = httpx.Client(timeout=120, trust_env=False)
    with OpenAI(base_url=f"{endpoint.url}/v1", api_key=endpoint.key, http_client=transport) as client:
        yield client


def complete(client, model, prompt="is the red number 4 even?", **options):
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=12, temperature=0, **options)
    return answer.choices[0]


def test_base_and_adapters_are_listed(client, endpoint):
    base = read_adapter(endpoint.runs[0].adapter).manifest.base.name
    assert {model.id for model in client.models.list()} == {base, "echo", "plain"}


def test_each_model_gives_its_own_answer_and_gives_it_again(client, endpoint):
    base = read_adapter(endpoint.runs[0].adapter).manifest.base.name
    answers = [complete(client, model).text for model in (base, "echo", "plain")]
    assert len(set(answers)) == 3
    assert answers == [complete(client, model).text for model in (base, "echo", "plain")]


def test_every_adapter_was_attested_with_greedy_agreement(endpoint):
    for run in endpoint.runs:
        attestation = ServingAttestation.read(run.attestation)
        assert attestation.outcome == "live"
        assert attestation.adapter.manifest_sha256 == read_adapter(run.adapter).manifest_sha256
        assert attestation.greedy.prompts >= 50
        assert attestation.greedy.agreeing + attestation.greedy.ties == attestation.greedy.tokens
        assert attestation.applied.missing == attestation.applied.in_free_slots == ()
        assert attestation.concurrent_models == ("echo", "plain", attestation.base.name)
        assert attestation.verdict_sha256 is not None
        assert max(probe.adapter_difference for probe in attestation.probes) < attestation.tolerance


def test_the_buffers_fit_the_widest_adapter(endpoint):
    servers = [ServingAttestation.read(run.attestation).server for run in endpoint.runs]
    assert {(server.max_lora_rank, server.max_loras) for server in servers} == {(32, 2 + on_cpu())}


def test_the_client_gets_the_log_probabilities_the_trainer_recorded(client, endpoint):
    for run in endpoint.runs:
        manifest = read_adapter(run.adapter).manifest
        probe = manifest.probes[0]
        choice = complete(client, manifest.name, list(probe.token_ids), extra_body={"prompt_logprobs": 0})
        entries = choice.model_extra["prompt_logprobs"][1:]
        served = [entry[str(token)]["logprob"] for entry, token in zip(entries, probe.token_ids[1:], strict=True)]
        assert served == pytest.approx(probe.adapter, abs=1e-3)


def test_log_probabilities_of_the_answer(client):
    choice = complete(client, "echo", logprobs=3)
    assert all(value <= 0 for value in choice.logprobs.token_logprobs)
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) == len(choice.logprobs.top_logprobs) == 12


def test_a_streamed_completion_is_the_same_text(client):
    stream = client.completions.create(model="echo", prompt="yes or no?", max_tokens=12, temperature=0, stream=True)
    pieces = [chunk.choices[0].text for chunk in stream if chunk.choices]
    assert len(pieces) > 1
    assert "".join(pieces) == complete(client, "echo", "yes or no?").text


def test_chat_streamed_and_not(client):
    options = {"model": "plain", "messages": MESSAGES, "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**options, logprobs=True, top_logprobs=2).choices[0]
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.message.content
    assert len(whole.logprobs.content) == 8


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(
            ("POST", p)
            for p in ("/tokenize", "/detokenize", "/pause", "/resume", "/invocations", "/inference/v1/generate")
        ),
        *(("GET", p) for p in ("/version", "/load", "/openapi.json", "/docs", "/server_info", "/ping")),
        *(("POST", p) for p in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/responses", "/v1/messages")),
    ],
)
def test_what_else_vllm_would_answer_is_closed(http, method, path):
    assert http.request(method, path, json={}).status_code == 404


def test_without_the_key_nobody_is_served(endpoint):
    stranger = OpenAI(base_url=f"{endpoint.url}/v1", api_key="guess", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_an_unknown_model_is_404(client):
    with pytest.raises(openai.NotFoundError):
        complete(client, "another")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"model": "echo"}',
        b'{"model": "echo", "prompt": 7}',
        b'{"model": "echo", "prompt": "x", "max_tokens": "many"}',
        b'{"model": "echo", "prompt": [999999999]}',
        b'{"model": "echo", "prompt": "x", "temperature": -1}',
        b'{"model": "echo", "prompt": "x", "structured_outputs": true}',
        b'{"model": "echo", "prompt": "x", "top_k": 18446744073709551616}',
        b"\xff\xfe",
    ],
)
def test_a_malformed_request_is_400(http, body):
    answer = http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 404, 422), answer.text
    assert answer.headers["x-request-id"]


def test_a_schema_shapes_the_answer(client):
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"enum": ["yes", "no"]}}}
    assert json.loads(complete(client, "echo", extra_body={"response_format": form}).text) in ("yes", "no")


@pytest.mark.parametrize(
    "constraint",
    [
        {"grammar": "root ::= root"},
        {"json": {"$ref": "#"}},
        {"json": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}},
        {"regex": "(.{1,3000}){1,3000}"},
        {"regex": ".*" * 2000},
        {"regex": "[^\\s\\S]"},
        {"json": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}},
    ],
)
def test_a_grammar_that_cannot_be_used_is_400_and_stops_nobody(http, constraint):
    body = {"model": "echo", "prompt": "x", "max_tokens": 8}
    assert http.post("/v1/completions", json=body | {"structured_outputs": constraint}).status_code == 400
    assert http.post("/v1/completions", json=body | {"structured_outputs": {"choice": ["y"]}}).status_code == 200
    assert http.get("/ready").status_code == 200


def test_a_client_whose_headers_do_not_end_is_cut(endpoint):
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as client:
        client.sendall(b"GET /ready HTTP/1.1\r\nx: ")
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert 5 < time.monotonic() - started < 40


def test_a_prompt_longer_than_the_context_is_400_and_a_huge_body_413(http):
    long = http.post("/v1/completions", json={"model": "echo", "prompt": "word " * 5000})
    huge = http.post("/v1/completions", json={"model": "echo", "prompt": "word " * 1_000_000})
    assert (long.status_code, huge.status_code) == (400, 413)


def test_metrics_are_vllms_own(http):
    assert "vllm:num_requests_running" in http.get("/metrics").text


def test_attestation_on_demand(http, wait_until):
    def created():
        return {entry["name"]: entry["created"] for entry in http.get("/attestation").json()["attestations"]}

    before = created()
    assert http.post("/attestation").status_code == 202
    wait_until(lambda: all(created()[name] > before[name] for name in before), seconds=240)
    assert {entry["outcome"] for entry in http.get("/attestation").json()["attestations"]} == {"live"}


def test_a_changed_adapter_file_is_noticed_and_so_is_its_return(http, endpoint, wait_until):
    weights = endpoint.runs[1].adapter / "adapter_model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        wait_until(lambda: http.get("/health").status_code == 503, seconds=60)
        assert "adapter_model.safetensors of plain changed" in http.get("/health").json()["reason"]
        assert http.post("/v1/completions", json={"model": "echo", "prompt": "x"}).status_code == 503
        assert http.get("/live").status_code == 200
    finally:
        weights.write_bytes(original)
    wait_until(lambda: http.get("/health").status_code == 200, seconds=60)


def test_no_prompt_is_in_the_log(client, endpoint):
    complete(client, "echo", "a prompt that nobody else may read")
    log = endpoint.log.read_text()
    assert '"path": "/v1/completions"' in log
    assert "nobody else may read" not in log
    assert endpoint.key not in log
