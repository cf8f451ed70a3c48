"""Starts vLLM's own OpenAI server as a child process, and ends it and everything it started."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from schemas.errors import UserError
from schemas.serving.serving_attestation import Dtype
from serving.gateway.settings import STATE_VARIABLE
from serving.gateway.state_directory import StateDirectory
from serving.options import ServeOptions, cache_directory

_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL")
_EXIT_SECONDS = 10
_RUNTIME_LOADING = ("VLLM_LORA_RESOLVER_CACHE_DIR", "VLLM_PLUGINS")


@dataclass(frozen=True)
class ServedWeights:
    """What vLLM is to load."""

    model: Path
    """Directory of the base, or of merged weights."""
    name: str
    """Model name of these weights."""
    dtype: Dtype
    """Type of the weights in the server."""
    adapters: Mapping[str, Path]
    """Directory by model name; empty where the weights are merged."""
    max_lora_rank: int
    """Width of the adapter buffers; 0 without adapters."""
    max_loras: int
    """Slots of the adapter buffers (`serving.engine.lora_limits`); 0 without adapters."""
    target_modules: tuple[str, ...] = ()
    """Modules that any adapter has tensors for."""


def vllm_version() -> str:
    """Version of the installed vLLM, without importing it.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        raise UserError("vLLM is not installed", fix="make setup, or use the serving container") from None


def on_cpu() -> bool:
    """Whether the installed vLLM is the CPU build."""
    return "cpu" in vllm_version()


def command_line(weights: ServedWeights, options: ServeOptions) -> list[str]:
    """vLLM's command line. Adapter paths are absolute: a missing relative path would be looked up on the hub."""
    line = [
        *(sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(weights.model.resolve())),
        *("--served-model-name", weights.name, "--dtype", weights.dtype),
        # Sampling settings that lie beside the base (a repetition penalty) would change answers that were scored without.
        *("--generation-config", "vllm"),
        *("--host", options.host, "--port", str(options.port)),
        *("--middleware", "serving.gateway.middleware.Gateway", "--disable-fastapi-docs"),
        *("--disable-uvicorn-access-log", "--uvicorn-log-level", "info" if options.verbose else "warning"),
        *("--shutdown-timeout", str(options.drain_seconds)),
        *("--scheduling-policy", "priority"),  # for the supervisor's own requests; the gateway refuses it to clients
        # "auto" takes whichever backend the first grammar needs and keeps it for all; of them only xgrammar compiles
        # every grammar within the gateway's limits (`serving.gateway.grammar_limits`) in a second.
        *("--structured-outputs-config", '{"backend": "xgrammar"}'),
    ]
    if options.log_prompts:
        line += ["--enable-log-requests"]
    if weights.adapters:
        modules = [json.dumps({"name": name, "path": str(path.resolve())}) for name, path in weights.adapters.items()]
        line += ["--enable-lora", "--max-lora-rank", str(weights.max_lora_rank)]
        line += [
            "--max-loras",
            str(weights.max_loras),
            "--worker-extension-cls",
            "serving.engine.worker_extension.AppliedTensors",
        ]
        line += ["--lora-modules", *modules]
        # Only the modules that adapters have are wrapped. vLLM would wrap the LM head too, which costs time, and with
        # its CPU kernels a request for prompt log-probabilities among others then kills the engine (vLLM 0.32).
        line += ["--lora-target-modules", *weights.target_modules]
    if on_cpu():
        # Of a machine's memory, not a GPU's: vLLM's default would claim nearly all of it. Compiling takes minutes here.
        if options.passed_on("--gpu-memory-utilization") is None:
            line += ["--gpu-memory-utilization", "0.4"]
        line += ["--enforce-eager"]
    return [*line, *options.vllm_arguments]


def environment(state: StateDirectory, options: ServeOptions) -> dict[str, str]:
    """The child's environment: no secrets, no hub, no loading of adapters at run time."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not any(word in key.upper() for word in _SECRET_WORDS) and key not in _RUNTIME_LOADING
    }
    level = "INFO" if options.verbose or options.log_prompts else "WARNING"
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": level,
        # Idle connections stay open longer than clients (5 s) and gateways (60 s) keep theirs: a server that closes first
        # resets a request that is on its way.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
        "VLLM_MAX_N_SEQUENCES": "128",  # answers to one request; vLLM's own limit of 16384 lets one client fill the queue
        # vLLM's CPU build compiles C++ at its first start, even run eagerly, and dies where there is no compiler.
        **({"TORCHDYNAMO_DISABLE": "1"} if on_cpu() else {}),
        **kept,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0",
        "VLLM_SERVER_DEV_MODE": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        STATE_VARIABLE: str(state.root),
    }


@contextmanager
def running_vllm(
    weights: ServedWeights, state: StateDirectory, options: ServeOptions
) -> Iterator[subprocess.Popen[bytes]]:
    """vLLM as a child in a session of its own; on leaving, it and all it started are gone."""
    with log_file(options) as log:
        child = subprocess.Popen(
            command_line(weights, options),
            env=environment(state, options),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            yield child
        finally:
            stop(child, grace=options.drain_seconds + 15)


def log_path(options: ServeOptions) -> Path | None:
    """Where vLLM's lines go: into a file where a person looks at a terminal, else (None) to our own standard error."""
    if options.verbose or not sys.stderr.isatty():
        return None
    return cache_directory() / "logs" / f"vllm-{options.port}.log"


@contextmanager
def log_file(options: ServeOptions) -> Iterator[int | None]:
    """The open log file's descriptor, or None for the terminal's."""
    path = log_path(options)
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        yield file.fileno()


def stop(child: subprocess.Popen[bytes], *, grace: float) -> None:
    """SIGTERM, which lets vLLM finish the requests in flight; after `grace` seconds SIGKILL to the whole session."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(timeout=grace)
    with suppress(ProcessLookupError):  # engine and workers outlive a killed API server
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    # An engine takes a while to give its gigabytes back, and whoever starts the next server needs them.
    deadline = time.monotonic() + _EXIT_SECONDS
    while _lives(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(session: int) -> bool:
    """Whether a process of the session runs; a zombie does not, and whoever adopted it may never collect it."""
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _end_with_parent() -> None:
    """Linux's PR_SET_PDEATHSIG: a supervisor that is killed with -9 leaves no server behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape what the server computes."""
    named = {name: importlib.metadata.version(name) for name in ("vllm", "torch", "transformers", "peft")}
    return {"python": platform.python_version(), **named}
