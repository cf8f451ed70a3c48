"""What the command line of `python -m serving` asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EndpointLimits:
    """What one client may ask for, enforced before vLLM sees a request."""

    body_bytes: int = 4 * 1024 * 1024
    concurrent_requests: int = 256
    body_seconds: float = 30.0


@dataclass(frozen=True)
class ServeOptions:
    """One call of the server.

    Attributes:
        base: directory of the base model; None follows the manifest.
        dtype: type of the weights in the server; None takes the one of training.
        api_key_file: file with the key that clients must present; None leaves the endpoint open.
        ungated: serve an adapter without a verdict.
        attest: `probes` compares log-probabilities, `full` adds greedy agreement with transformers.
        watch_seconds: time between two checks that files and answers are still the attested ones.
        log_prompts: let vLLM log each request with its prompt.
        drain_seconds: time that requests in flight get after SIGTERM.
        vllm_arguments: further options of vLLM, checked by the command line's allow-list.
    """

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    base: Path | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    api_key_file: Path | None = None
    ungated: bool = False
    attest: Literal["probes", "full"] = "probes"
    start_seconds: float = 1800.0
    watch_seconds: float = 15.0
    drain_seconds: int = 30
    verbose: bool = False
    log_prompts: bool = False
    limits: EndpointLimits = EndpointLimits()
    vllm_arguments: tuple[str, ...] = ()


def cache_directory() -> Path:
    """Where content-addressed copies of adapters and merged models live."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echo-lora"
