"""The ASGI middleware that stands in vLLM's own server process, in front of everything it answers.

Only a list of routes answers, nothing passes before the adapter is attested, keys are compared in constant time, and
bodies and concurrency are bounded. Being inside the process, it costs no proxy hop, and vLLM stays the OpenAI server.
`vllm serve --middleware serving.gateway.middleware.Gateway` loads it; its settings come from the directory that the
environment variable ECHO_LORA_STATE names.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from schemas.document import Section, Sha256
from serving.gateway.readiness import ReadinessFile
from serving.gateway.request_log import LoggedRequest
from serving.gateway.request_validation import fault_of
from serving.gateway.state_directory import StateDirectory

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STATE_VARIABLE = "ECHO_LORA_STATE"
ATTESTOR_HEADER = "x-echo-lora-attestor"
APPLIED_PATH = "/attestor/applied/"

# Path -> method. Everything else that vLLM serves (/tokenize, /pause, /invocations, ...) does not exist for clients.
MODEL_ROUTES = {"/v1/models": "GET", "/v1/completions": "POST", "/v1/chat/completions": "POST", "/metrics": "GET"}
READINESS_ROUTES = {"/live": "GET", "/ready": "GET", "/health": "GET"}
ATTESTATION_ROUTE = "/attestation"
COUNTED = ("/v1/completions", "/v1/chat/completions")


class GatewaySettings(Section):
    """What the supervisor tells the gateway. Secrets are handed over as hashes only."""

    attestor_sha256: Sha256
    """Of the secret with which the supervisor passes before the server is ready."""
    api_key_sha256: Sha256 | None
    """Of the key that clients must present; None leaves the endpoint open."""
    body_bytes: int
    """Longest request body."""
    body_seconds: float
    """Longest time a body may take to arrive."""
    concurrent_requests: int
    """Generations in flight at once in this process."""


class Refusal(Exception):
    """A request that is answered without vLLM."""

    def __init__(self, status: int, message: str, code: str, *, headers: dict[str, str] | None = None) -> None:
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}
        super().__init__(message)

    def body(self) -> dict[str, object]:
        """The error in OpenAI's form."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}


class Gateway:
    """See the module's text."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.state = StateDirectory(Path(os.environ[STATE_VARIABLE]))
        self.settings = GatewaySettings.model_validate_json(self.state.settings.read_bytes())
        self.readiness = ReadinessFile(self.state.readiness)
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, refuses, or passes on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            request = LoggedRequest(scope, send)
            try:
                await self._answer(scope, receive, request)
            except Refusal as refusal:
                await request.json(refusal.status, refusal.body(), headers=refusal.headers)
            finally:
                request.log()
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, request: LoggedRequest) -> None:
        path = scope["path"]
        if self._is_attestor(request.header(ATTESTOR_HEADER)):
            return await self._answer_attestor(scope, receive, request)
        if path in READINESS_ROUTES:
            require_method(scope, READINESS_ROUTES[path])
            return await self._answer_readiness(path, request)
        if path != ATTESTATION_ROUTE and path not in MODEL_ROUTES:
            raise Refusal(404, f"no such route: {scope['method']} {path[:200]}", "route_not_found")
        self._require_key(request.header("authorization"))
        if path == ATTESTATION_ROUTE:
            return await self._answer_attestation(scope, request)
        require_method(scope, MODEL_ROUTES[path])
        if path in COUNTED:
            return await self._generate(scope, receive, request)
        await self.app(scope, no_body, request.send)

    async def _generate(self, scope: Scope, receive: Receive, request: LoggedRequest) -> None:
        """One completion: only while ready, within the concurrency limit, with a body of bounded size."""
        fact = self.readiness.read()
        if not fact.is_ready():
            raise Refusal(503, f"{fact.state}: {fact.reason}", "not_ready", headers={"retry-after": "5"})
        if self.in_flight >= self.settings.concurrent_requests:
            raise Refusal(429, "too many requests in flight", "too_many_requests", headers={"retry-after": "1"})
        self.in_flight += 1
        try:
            body = await self._read_body(receive, request)
            if fault := fault_of(scope["path"], body):
                raise Refusal(400, f"the request cannot be read: {fault}", "invalid_request")
            await self.app(scope, replay(body, receive), request.send)
        finally:
            self.in_flight -= 1

    async def _read_body(self, receive: Receive, request: LoggedRequest) -> bytes:
        limit = self.settings.body_bytes
        declared = request.header("content-length")
        if declared and (not declared.isdigit() or len(declared) > 18 or int(declared) > limit):
            raise Refusal(413, f"the request body is larger than {limit} bytes", "body_too_large")
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                return await collect(receive, limit)
        except TimeoutError:
            raise Refusal(408, "the request body did not arrive in time", "body_too_slow") from None

    async def _answer_readiness(self, path: str, request: LoggedRequest) -> None:
        """/live: the process answers. /ready: send requests here. /health: the adapter answers, draining or not."""
        fact = self.readiness.read()
        good = path == "/live" or fact.is_ready() or (path == "/health" and fact.state == "draining")
        body = {"state": fact.state, "reason": fact.reason, "models": fact.models, "checked": fact.checked}
        await request.json(200 if good else 503, body)

    async def _answer_attestation(self, scope: Scope, request: LoggedRequest) -> None:
        """GET: the latest attestations. POST: asks for new ones; their `created` tells when they are there."""
        if scope["method"] == "POST":
            self.state.attestation_request.touch()
            return await request.json(202, {"requested": True, "then": f"GET {ATTESTATION_ROUTE}"})
        require_method(scope, "GET")
        documents = [path.read_bytes() for path in sorted(self.state.attestations.glob("*.json"))]
        await request.raw(200, b'{"attestations": [' + b", ".join(documents) + b"]}")

    async def _answer_attestor(self, scope: Scope, receive: Receive, request: LoggedRequest) -> None:
        request.quiet, path = True, scope["path"]
        if path.startswith(APPLIED_PATH):
            name = path.removeprefix(APPLIED_PATH)
            lora = scope["app"].state.openai_serving_models.lora_requests[name]
            engine = scope["app"].state.engine_client
            reports = await engine.collective_rpc("applied_lora_tensors", args=(lora.lora_int_id,))
            return await request.json(200, {"workers": reports})
        if path not in MODEL_ROUTES:
            raise Refusal(404, "no such route", "route_not_found")
        await self.app(scope, receive, request.send)

    def _is_attestor(self, presented: str | None) -> bool:
        return presented is not None and same_secret(presented, self.settings.attestor_sha256)

    def _require_key(self, authorization: str | None) -> None:
        expected = self.settings.api_key_sha256
        if expected is None:
            return
        scheme, _, key = (authorization or "").partition(" ")
        if not same_secret(key, expected) or scheme.lower() != "bearer":
            raise Refusal(401, "a valid API key is required", "invalid_api_key", headers={"www-authenticate": "Bearer"})


def same_secret(presented: str, expected_sha256: str) -> bool:
    """Compares hashes in constant time, so that neither length nor content of the secret leaks through timing."""
    return hmac.compare_digest(hashlib.sha256(presented.encode("utf-8", "replace")).hexdigest(), expected_sha256)


def require_method(scope: Scope, method: str) -> None:
    """Refuses any other method with 405."""
    if scope["method"] != method:
        raise Refusal(405, f"{scope['path']} takes {method}", "method_not_allowed", headers={"allow": method})


async def collect(receive: Receive, limit: int) -> bytes:
    """The whole request body.

    Raises:
        Refusal: it is longer than the limit, or the client went away.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the client closed the connection", "client_disconnected")
        body += message.get("body", b"")
        if len(body) > limit:
            raise Refusal(413, f"the request body is larger than {limit} bytes", "body_too_large")
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that hands over the collected body once, then whatever the client does next (it may disconnect)."""
    pending = [body]

    async def next_message() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return next_message


async def no_body() -> Message:
    """The receive of a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}
