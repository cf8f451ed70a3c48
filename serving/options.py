"""What the command line of `python -m serving` asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VerdictRule = Literal["require", "if_present", "ignore"]


@dataclass(frozen=True)
class EndpointLimits:
    """What one client may ask for, enforced before vLLM sees a request."""

    body_bytes: int = 4 * 1024 * 1024
    """Longest request body."""
    concurrent_requests: int = 256
    """Generations in flight at once."""
    body_seconds: float = 30.0
    """Longest time that a body may take to arrive."""


@dataclass(frozen=True)
class ServeOptions:
    """One call of the server."""

    runs: tuple[Path, ...]
    """Run directories of the adapters."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on."""
    base: Path | None = None
    """Directory of the base model; None follows the manifest."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Type of the weights in the server; None takes the one of training."""
    api_key_file: Path | None = None
    """File with the key that clients must present; None leaves the endpoint open."""
    verify_key: Path | None = None
    """Public key by whose owner every adapter must be signed; None asks for no signature."""
    verdict_rule: VerdictRule = "require"
    """`if_present` serves an adapter without a verdict, `ignore` any; the latter is for measuring only."""
    attest: Literal["probes", "full"] = "probes"
    """`probes` compares log-probabilities, `full` adds greedy agreement with transformers."""
    start_seconds: float = 1800.0
    """Time that vLLM may take to load."""
    watch_seconds: float = 15.0
    """Time between two checks that files and answers are still the attested ones."""
    drain_seconds: int = 30
    """Time that requests in flight get after SIGTERM."""
    verbose: bool = False
    """Show vLLM's own log."""
    log_prompts: bool = False
    """Let vLLM log each request with its prompt."""
    limits: EndpointLimits = EndpointLimits()
    """What one client may ask for."""
    merge: bool = False
    """Merge the only adapter into the base even if vLLM could load it; for measuring only."""
    control: bool = False
    """Serve the second adapter under another name as well; for measuring only."""
    vllm_arguments: tuple[str, ...] = ()
    """Further options of vLLM, checked by the command line's allow-list."""

    def passed_on(self, option: str) -> str | None:
        """The value that vLLM is given for an option such as `--max-num-seqs`; None leaves it to vLLM."""
        given = (argument.partition("=") for argument in self.vllm_arguments)
        return next((value for name, _, value in given if name == option), None)


def cache_directory() -> Path:
    """Where content-addressed copies of adapters and merged models live."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echo-lora"
