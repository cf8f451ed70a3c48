"""The ASGI middleware that stands in vLLM's own server process, in front of everything it answers.

Only a list of routes answers, nothing passes before the adapter is attested, keys are compared in constant time, and a
request takes one of the places at the engine only once it has arrived whole and can be computed. Being inside the process,
it costs no proxy hop, and vLLM stays the OpenAI server. `vllm serve --middleware serving.gateway.middleware.Gateway` loads
it; its settings come from the directory that the environment variable ECHO_LORA_STATE names.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from serving.gateway import connection
from serving.gateway.asgi import App, Receive, Scope, Send, no_body, replay
from serving.gateway.empty_grammar import blame_the_grammar
from serving.gateway.readiness import ReadinessFile
from serving.gateway.refusal import Refusal
from serving.gateway.request_body import BodyReader
from serving.gateway.request_log import LoggedRequest
from serving.gateway.request_validation import fault_of
from serving.gateway.settings import APPLIED_PATH, ATTESTOR_HEADER, STATE_VARIABLE, GatewaySettings
from serving.gateway.state_directory import StateDirectory

# Path -> method. Everything else that vLLM serves (/tokenize, /pause, /invocations, ...) does not exist for clients.
MODEL_ROUTES = {"/v1/models": "GET", "/v1/completions": "POST", "/v1/chat/completions": "POST", "/metrics": "GET"}
READINESS_ROUTES = {"/live": "GET", "/ready": "GET", "/health": "GET"}
ATTESTATION_ROUTE = "/attestation"
COUNTED = ("/v1/completions", "/v1/chat/completions")


class Gateway:
    """See the module's text."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.state = StateDirectory(Path(os.environ[STATE_VARIABLE]))
        self.settings = GatewaySettings.model_validate_json(self.state.settings.read_bytes())
        self.readiness = ReadinessFile(self.state.readiness)
        self.bodies = BodyReader(self.settings.body_bytes, self.settings.body_seconds)
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
        """One completion: only while ready, and counted among those in flight from when its body is there."""
        fact = self.readiness.read()
        if not fact.is_ready():
            raise Refusal(503, f"{fact.state}: {fact.reason}", "not_ready", headers={"retry-after": "5"})
        body = await self.bodies.read(receive, request.header("content-length"))
        if self.in_flight >= self.settings.concurrent_requests:
            raise Refusal(429, "too many requests in flight", "too_many_requests", headers={"retry-after": "1"})
        self.in_flight += 1
        try:
            if fault := fault_of(scope["path"], body):
                raise Refusal(400, f"the request cannot be read: {fault}", "invalid_request")
            await self.app(scope, replay(body, receive), blame_the_grammar(body, request.send))
        finally:
            self.in_flight -= 1

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


connection.install()  # when vLLM imports its middleware, uvicorn has not chosen a protocol yet
