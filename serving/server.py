"""The story of a server: verify, prepare the weights, start vLLM not ready for clients, attest, let them in."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from schemas.document import write_atomically
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.serving.serving_attestation import ServerRecord, ServingAttestation
from schemas.storage.key_file import read_key
from serving.attestation.attest import ServedAdapter, attest
from serving.attestation.concurrent_requests import concurrent_models_of
from serving.engine.adapter_cache import changed_files
from serving.engine.client import EndpointClient, local_address
from serving.engine.server_record import server_record
from serving.engine.vllm_process import ServedWeights, log_path, running_vllm, vllm_version
from serving.engine.weights import CONTROL_SUFFIX, prepare
from serving.gateway.readiness import ReadinessFile
from serving.gateway.settings import GatewaySettings
from serving.gateway.state_directory import StateDirectory
from serving.options import ServeOptions
from serving.progress import complain, step
from serving.verify.base import require_chat_template
from serving.verify.preflight import require_free_port
from serving.verify.verify import Candidate, verify_runs


class EngineDied(Exception):
    """vLLM ended by itself."""


@dataclass
class AttestedServer:
    """A running server whose adapters were attested, and what is needed to attest them again."""

    options: ServeOptions
    """How it was started."""
    weights: ServedWeights
    """What vLLM loaded."""
    adapters: tuple[ServedAdapter, ...]
    """What is attested, in the order of the runs."""
    record: ServerRecord
    """What attestations say of the server."""
    child: subprocess.Popen[bytes]
    """vLLM's process."""
    client: EndpointClient
    """The supervisor's way in."""
    state: StateDirectory
    """What the gateway inside vLLM's process reads."""
    readiness: ReadinessFile
    """Whether clients are let in."""
    attestations: dict[str, ServingAttestation] = field(default_factory=dict)
    """The latest of each adapter, by name."""

    @property
    def control_name(self) -> str:
        """Name of the second copy of the second adapter (`ServeOptions.control`)."""
        return f"{self.adapters[1].name}{CONTROL_SUFFIX}"

    @property
    def address(self) -> str:
        """Where clients find it."""
        return self.client.address

    def require_alive(self) -> None:
        """Raises EngineDied where vLLM has ended."""
        if self.child.poll() is not None:
            log = log_path(self.options)
            lines = "" if log is None else ":\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            raise EngineDied(f"vLLM ended with exit code {self.child.returncode}; its last lines say why{lines}")

    def attest_all(self) -> None:
        """Attests every adapter and writes the documents, failed ones too.

        Raises:
            UserError: an adapter is not live.
        """
        concurrent, greedy = concurrent_models_of(self.weights, self.options), self.options.attest == "full"
        for served in self.adapters:
            attestation = attest(self.client, served, self.record, concurrent=concurrent, greedy=greedy)
            self.attestations[served.name] = attestation
            write_atomically(self.state.attestations / f"{served.name}.json", attestation.to_json().encode())
            _write_into_run(served.candidate.run, attestation)
            if attestation.outcome != "live":
                raise UserError(
                    f"{served.name} is not live on this server:\n" + "\n".join(f"  - {r}" for r in attestation.reasons),
                    where=served.candidate.run.attestation,
                    fix="nothing is served; the attestation holds every figure",
                )

    def set_ready(self) -> None:
        """Lets requests pass, until a check fails or none was made for a while."""
        self.readiness.write(
            "ready",
            f"attested: {', '.join(self.attestations)}",
            models=tuple(self.attestations),
            stale_after=120 + 4 * self.options.watch_seconds,
        )

    def stay_ready(self) -> None:
        """While it is ready, every answer to the supervisor says that it still is: attesting a busy server takes long."""
        if self.readiness.read().state == "ready":
            self.set_ready()

    def check(self) -> str | None:
        """One look at files and answers; what is wrong, or None."""
        for served in self.adapters:
            adapter = served.candidate.adapter
            for directory in (adapter.directory, served.candidate.stored):
                if changed := changed_files(adapter, directory):
                    return (
                        f"{', '.join(changed)} of {served.name} changed after it was attested; start the server again"
                    )
            probe = adapter.manifest.probes[0]
            answer = self.client.log_probabilities(served.name, probe.token_ids)
            off = max(abs(a - b) for a, b in zip(answer, probe.adapter, strict=True))
            if not off <= self.attestations[served.name].tolerance:
                return f"{served.name} answers {off:.3g} nats off its attested log-probabilities"
        return None


@contextmanager
def attested_server(options: ServeOptions) -> Iterator[AttestedServer]:
    """Starts a server and yields it once every adapter is attested and clients are let in; ends it on leaving.

    Raises:
        UserError: something is wrong with the runs, the port, the key or the attestation.
        EngineDied: vLLM ended while it loaded.
    """
    vllm_version()
    require_free_port(options.host, options.port)
    api_key = read_key(options.api_key_file) if options.api_key_file else None
    with step("Verifying files, verdicts and base model"):
        candidates = verify_runs(
            options.runs, base=options.base, verdict_rule=options.verdict_rule, verify_key=options.verify_key
        )
        require_chat_template(options.passed_on("--chat-template"), candidates[0].base_identity)
    say_what_is_unknown(candidates)
    weights, adapters = prepare(candidates, options)
    secret = secrets.token_urlsafe(32)
    with (
        EndpointClient(local_address(options.host, options.port), secret) as client,
        private_state(options, secret, api_key) as state,
        running_vllm(weights, state, options) as child,
    ):
        readiness = ReadinessFile(state.readiness)
        record = server_record(weights)
        server = AttestedServer(options, weights, adapters, record, child, client, state, readiness)
        client.answered = server.stay_ready
        try:
            with step("Starting vLLM (a minute or more)"):
                client.wait_until_listening(seconds=options.start_seconds, still_alive=server.require_alive)
            with step("Attesting: comparing the server's log-probabilities with the trainer's"):
                server.attest_all()
            server.set_ready()
            yield server
        finally:
            readiness.write("draining", "the server is shutting down")


def say_what_is_unknown(candidates: tuple[Candidate, ...]) -> None:
    """One line for each adapter whose manifest is of a release that recorded less."""
    for candidate in candidates:
        if unknown := candidate.adapter.manifest.base.unknown():
            parts = ", ".join(unknown)
            complain(f"{candidate.name} does not record its base's {parts}: any is taken for right", kind="note")


@contextmanager
def private_state(options: ServeOptions, secret: str, api_key: str | None) -> Iterator[StateDirectory]:
    """The directory the gateway reads, for this user only, deleted afterwards."""
    state = StateDirectory(Path(tempfile.mkdtemp(prefix="echo-lora-")))
    try:
        settings = GatewaySettings(
            attestor_sha256=hashlib.sha256(secret.encode()).hexdigest(),
            api_key_sha256=None if api_key is None else hashlib.sha256(api_key.encode()).hexdigest(),
            body_bytes=options.limits.body_bytes,
            body_seconds=options.limits.body_seconds,
            concurrent_requests=options.limits.concurrent_requests,
        )
        write_atomically(state.settings, settings.model_dump_json().encode())
        state.attestations.mkdir()
        ReadinessFile(state.readiness).write("starting", "not attested yet")
        yield state
    finally:
        shutil.rmtree(state.root, ignore_errors=True)


def _write_into_run(run: RunDirectory, attestation: ServingAttestation) -> None:
    try:
        attestation.write(run.attestation)
    except OSError as error:  # a read-only volume; GET /attestation has it too
        print(f"note: {run.attestation} cannot be written: {error.strerror}", file=sys.stderr)
