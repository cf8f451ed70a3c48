"""What the gateway lets through, in front of a small ASGI application that answers everything with 200."""

import asyncio
import hashlib
import json

import httpx
import pytest

from serving.gateway.middleware import Gateway
from serving.gateway.readiness import ReadinessFile
from serving.gateway.settings import ATTESTOR_HEADER, GatewaySettings
from serving.gateway.state_directory import StateDirectory

KEY, SECRET = "the-key", "the-secret"
BEARER = {"authorization": f"Bearer {KEY}"}
COMPLETION = {"model": "a", "prompt": "the secret of the prompt"}


async def everything_answers(scope, receive, send):
    """Echoes the body's length, after reading it whole, as a framework does."""
    message = await receive()
    body = json.dumps({"path": scope["path"], "length": len(message["body"])}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def state(tmp_path, monkeypatch):
    state = StateDirectory(tmp_path)
    settings = GatewaySettings(
        attestor_sha256=sha256(SECRET),
        api_key_sha256=sha256(KEY),
        body_bytes=1000,
        body_seconds=1.0,
        concurrent_requests=2,
    )
    state.settings.write_text(settings.model_dump_json())
    state.attestations.mkdir()
    monkeypatch.setenv("ECHO_LORA_STATE", str(tmp_path))
    ReadinessFile(state.readiness).write("ready", "attested: a", models=("a",))
    return state


def ask(method, path, *, app=everything_answers, headers=BEARER, **options):
    async def answer():
        transport = httpx.ASGITransport(app=Gateway(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("POST", "/v1/completions"), ("POST", "/v1/chat/completions")]
)
def test_the_openai_routes_pass(state, method, path):
    assert ask(method, path, json=COMPLETION).json()["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/tokenize",
            "/detokenize",
            "/pause",
            "/resume",
            "/invocations",
            "/load",
            "/version",
            "/openapi.json",
            "/docs",
        ),
        *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/collective_rpc", "/sleep", "/v1/responses", "/"),
        *("/V1/MODELS", "/v1/models/", "/v1//models", "/v1/completions/render", "/attestor/applied/a"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_other_route_does_not_exist(state, method, path):
    assert ask(method, path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/completions"), ("DELETE", "/v1/models"), ("POST", "/health")]
)
def test_a_wrong_method_is_405_and_names_the_right_one(state, method, path):
    answer = ask(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] in ("GET", "POST")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}])
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/attestation"])
def test_without_the_key_nothing_is_told(state, headers, path):
    answer = ask("GET", path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_health_checks_need_no_key(state):
    assert {ask("GET", path, headers={}).status_code for path in ("/live", "/ready", "/health")} == {200}


def test_before_attestation_only_the_attestor_passes(state):
    ReadinessFile(state.readiness).write("starting", "not attested yet")
    assert ask("POST", "/v1/completions", json=COMPLETION).status_code == 503
    assert ask("GET", "/ready", headers={}).status_code == 503
    assert ask("GET", "/live", headers={}).status_code == 200
    assert ask("POST", "/v1/completions", json=COMPLETION, headers={ATTESTOR_HEADER: SECRET}).status_code == 200
    assert ask("POST", "/v1/completions", json=COMPLETION, headers={ATTESTOR_HEADER: "guess"}).status_code == 401


def test_the_attestor_reaches_no_other_route_of_vllm(state):
    assert ask("POST", "/pause", headers={ATTESTOR_HEADER: SECRET}).status_code == 404


def test_draining_refuses_new_work_but_stays_healthy(state):
    ReadinessFile(state.readiness).write("draining", "the server is shutting down")
    refused = ask("POST", "/v1/completions", json=COMPLETION)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert ask("GET", "/ready", headers={}).status_code == 503
    assert ask("GET", "/health", headers={}).status_code == 200


def test_a_body_too_large_is_413_by_its_declared_length(state):
    assert ask("POST", "/v1/completions", content=b"x" * 1001).status_code == 413
    assert ask("POST", "/v1/completions", content=b"x" * 1000).json()["length"] == 1000


def test_a_body_too_large_is_413_without_a_declared_length(state):
    async def chunks():
        for _ in range(30):
            yield b"x" * 100

    assert ask("POST", "/v1/completions", content=chunks()).status_code == 413


def test_bodies_that_never_arrive_are_408_and_take_no_place(state):
    async def stall():
        yield b"{"
        await asyncio.sleep(60)

    async def crowd():
        transport = httpx.ASGITransport(app=Gateway(everything_answers))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint", headers=BEARER) as client:
            slow = [asyncio.create_task(client.post("/v1/completions", content=stall())) for _ in range(10)]
            await asyncio.sleep(0.1)
            honest = await client.post("/v1/completions", json=COMPLETION)
            return honest.status_code, {(await task).status_code for task in slow}

    assert asyncio.run(crowd()) == (200, {408})


def test_more_requests_than_allowed_are_429_and_finished_ones_make_room(state):
    async def crowd():
        released = asyncio.Event()

        async def slow(scope, receive, send):
            await released.wait()
            await everything_answers(scope, receive, send)

        gateway = Gateway(slow)
        transport = httpx.ASGITransport(app=gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint", headers=BEARER) as client:
            two = [asyncio.create_task(client.post("/v1/completions", json=COMPLETION)) for _ in range(2)]
            while gateway.in_flight < 2:
                await asyncio.sleep(0.001)
            third = await client.post("/v1/completions", json=COMPLETION)
            released.set()
            served = [(await task).status_code for task in two]
            fourth = await client.post("/v1/completions", json=COMPLETION)
            return served, third.status_code, fourth.status_code

    assert asyncio.run(crowd()) == ([200, 200], 429, 200)


def test_a_failing_request_gives_its_place_back(state):
    async def break_down(scope, receive, send):
        raise RuntimeError("broken")

    async def several():
        gateway = Gateway(break_down)
        transport = httpx.ASGITransport(app=gateway, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint", headers=BEARER) as client:
            for _ in range(5):
                await client.post("/v1/completions", json=COMPLETION)
        return gateway.in_flight

    assert asyncio.run(several()) == 0


def test_attestations_are_handed_out_and_asked_for(state):
    (state.attestations / "a.json").write_text('{"name": "a"}')
    assert ask("GET", "/attestation").json() == {"attestations": [{"name": "a"}]}
    assert ask("POST", "/attestation").status_code == 202
    assert state.attestation_request.exists()


def test_websockets_are_closed(state):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Gateway(everything_answers)({"type": "websocket", "path": "/v1/realtime"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
