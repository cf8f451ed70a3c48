"""The story of a server: verify, prepare the weights, start vLLM behind a closed gate, attest, open the gate."""

from __future__ import annotations

import hashlib
import platform
import secrets
import shutil
import socket
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
from schemas.serving_attestation import Dtype, ServerRecord, ServingAttestation
from serving.attestation import ServedAdapter, attest
from serving.content_store import changed_files, store_adapter
from serving.endpoint_client import EndpointClient
from serving.gatekeeper import GatekeeperSettings
from serving.lora_rank import max_lora_rank
from serving.merge import merged_model, vllm_loads_dora
from serving.options import ServeOptions, cache_directory
from serving.progress import step
from serving.readiness import ReadinessFile
from serving.state_directory import StateDirectory
from serving.verify import Candidate, verify_runs
from serving.vllm_process import ServedWeights, log_path, on_cpu, running_vllm, versions, vllm_version

CONTROL_SUFFIX = ".control"


class EngineDied(Exception):
    """vLLM ended by itself."""


@dataclass
class AttestedServer:
    """A running server whose adapters were attested, and what is needed to attest them again."""

    options: ServeOptions
    weights: ServedWeights
    adapters: tuple[ServedAdapter, ...]
    record: ServerRecord
    child: subprocess.Popen[bytes]
    client: EndpointClient
    state: StateDirectory
    readiness: ReadinessFile
    attestations: dict[str, ServingAttestation] = field(default_factory=dict)

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
        for served in self.adapters:
            attestation = attest(self.client, served, self.record, greedy=self.options.attest == "full")
            self.attestations[served.name] = attestation
            write_atomically(self.state.attestations / f"{served.name}.json", attestation.to_json().encode())
            _write_into_run(served.candidate.run, attestation)
            if attestation.outcome != "live":
                raise UserError(
                    f"{served.name} is not live on this server:\n" + "\n".join(f"  - {r}" for r in attestation.reasons),
                    where=served.candidate.run.attestation,
                    fix="nothing is served; the attestation holds every figure",
                )

    def open_gate(self) -> None:
        """Lets requests pass, until a check fails or none was made for a while."""
        self.readiness.write(
            "ready",
            f"attested: {', '.join(self.attestations)}",
            models=tuple(self.attestations),
            stale_after=120 + 4 * self.options.watch_seconds,
        )

    def check(self) -> str | None:
        """One look at files and answers; what is wrong, or None."""
        for served in self.adapters:
            adapter = served.candidate.adapter
            for directory in (adapter.directory, self.weights.adapters.get(served.name, adapter.directory)):
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
    """Starts a server and yields it once every adapter is attested and the gate is open; ends it on leaving.

    Raises:
        UserError: something is wrong with the runs, the port, the key or the attestation.
        EngineDied: vLLM ended while it loaded.
    """
    vllm_version()
    require_free_port(options.host, options.port)
    api_key = read_api_key(options.api_key_file)
    with step("Verifying files, verdicts and base model"):
        candidates = verify_runs(options.runs, base=options.base, gate=options.gate, verify_key=options.verify_key)
    weights, adapters = prepare(candidates, options)
    secret = secrets.token_urlsafe(32)
    with (
        EndpointClient(local_address(options), secret) as client,
        private_state(options, secret, api_key) as state,
        running_vllm(weights, state, options) as child,
    ):
        readiness = ReadinessFile(state.readiness)
        record = server_record(weights)
        server = AttestedServer(options, weights, adapters, record, child, client, state, readiness)
        try:
            with step("Starting vLLM (a minute or more)"):
                client.wait_until_listening(seconds=options.start_seconds, still_alive=server.require_alive)
            with step("Attesting: comparing the server's log-probabilities with the trainer's"):
                server.attest_all()
            server.open_gate()
            yield server
        finally:
            readiness.write("draining", "the server is shutting down")


def prepare(
    candidates: tuple[Candidate, ...], options: ServeOptions
) -> tuple[ServedWeights, tuple[ServedAdapter, ...]]:
    """What vLLM loads: base and adapters, or, for a DoRA adapter that it cannot load, merged weights.

    Raises:
        UserError: a DoRA adapter among several.
    """
    base_record = candidates[0].adapter.manifest.base
    dtype = options.dtype or base_record.dtype
    dora = [candidate for candidate in candidates if candidate.adapter.manifest.adapter.use_dora]
    if options.merge or (dora and not vllm_loads_dora()):
        return _prepare_merged((dora or candidates)[0], candidates, dtype)
    paths = {candidate.name: store_adapter(candidate.adapter, cache_directory()) for candidate in candidates}
    if options.control:
        paths[candidates[1].name + CONTROL_SUFFIX] = paths[candidates[1].name]
    width = max_lora_rank(candidate.adapter.manifest.adapter.rank for candidate in candidates)
    targets = {name for candidate in candidates for name in candidate.adapter.manifest.adapter.target_modules}
    weights = ServedWeights(candidates[0].base, base_record.name, dtype, paths, width, tuple(sorted(targets)))
    return weights, tuple(ServedAdapter(candidate, base_record.name, None) for candidate in candidates)


def _prepare_merged(
    candidate: Candidate, candidates: tuple[Candidate, ...], dtype: Dtype
) -> tuple[ServedWeights, tuple[ServedAdapter, ...]]:
    uses_dora = candidate.adapter.manifest.adapter.use_dora
    if len(candidates) > 1:
        raise UserError(
            f"{candidate.name} is a DoRA adapter, which vLLM {vllm_version()} cannot load: it is served merged, alone",
            where=candidate.run.root,
            fix="start a server of its own for it, on another --port",
        )
    why = f"vLLM {vllm_version()} cannot load DoRA" if uses_dora else "Asked for merged weights"
    with step(f"{why}: merging {candidate.name} into its base in float32"):
        directory, parity = merged_model(candidate, dtype, cache_directory())
    weights = ServedWeights(directory, candidate.name, dtype, {}, 0)
    return weights, (ServedAdapter(candidate, None, parity),)


def require_free_port(host: str, port: int) -> None:
    """Refuses a port in use before anything is loaded.

    Raises:
        UserError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UserError(
                f"the port cannot be used: {error.strerror}",
                where=f"{host}:{port}",
                fix="stop what uses it, or --port N",
            ) from None


def read_api_key(path: Path | None) -> str | None:
    """The key in the file, without surrounding white space; None without a file.

    Raises:
        UserError: the file is missing or empty.
    """
    if path is None:
        return None
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the API key file cannot be read: {error}", where=path) from None
    if not key:
        raise UserError("the API key file is empty", where=path, fix="put a long random text into it")
    return key


@contextmanager
def private_state(options: ServeOptions, secret: str, api_key: str | None) -> Iterator[StateDirectory]:
    """The directory the gatekeeper reads, for this user only, deleted afterwards."""
    state = StateDirectory(Path(tempfile.mkdtemp(prefix="echo-lora-")))
    try:
        settings = GatekeeperSettings(
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


def local_address(options: ServeOptions) -> str:
    """The address from this machine; a server on all interfaces is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104
    return f"http://{host}:{options.port}"


def server_record(weights: ServedWeights) -> ServerRecord:
    """The server in words."""
    return ServerRecord(
        vllm=vllm_version(),
        dtype=weights.dtype,
        max_lora_rank=weights.max_lora_rank or None,
        max_loras=len(weights.adapters) or None,
        device=device_name(),
        platform=platform.platform(),
        versions=versions(),
    )


def device_name() -> str:
    """Name of the GPU, or of the processor where vLLM is the CPU build."""
    if not on_cpu():
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        try:
            return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().replace("\n", ", ")
        except (OSError, subprocess.CalledProcessError):
            return "unknown accelerator"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _write_into_run(run: RunDirectory, attestation: ServingAttestation) -> None:
    try:
        attestation.write(run.attestation)
    except OSError as error:  # a read-only volume; GET /attestation has it too
        print(f"note: {run.attestation} cannot be written: {error.strerror}", file=sys.stderr)
