"""What the command line of `python -m serving` asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving.verify.verify import VerdictRule


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
        verify_key: public key by whose owner every adapter must be signed; None asks for no signature.
        verdict_rule: `if_present` serves an adapter without a verdict, `ignore` any; the latter is for measuring only.
        attest: `probes` compares log-probabilities, `full` adds greedy agreement with transformers.
        watch_seconds: time between two checks that files and answers are still the attested ones.
        log_prompts: let vLLM log each request with its prompt.
        drain_seconds: time that requests in flight get after SIGTERM.
        merge: merge the only adapter into the base even if vLLM could load it; for measuring only.
        control: serve the second adapter under another name as well; for measuring only.
        vllm_arguments: further options of vLLM, checked by the command line's allow-list.
    """

    runs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    base: Path | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    api_key_file: Path | None = None
    verify_key: Path | None = None
    verdict_rule: VerdictRule = "require"
    attest: Literal["probes", "full"] = "probes"
    start_seconds: float = 1800.0
    watch_seconds: float = 15.0
    drain_seconds: int = 30
    verbose: bool = False
    log_prompts: bool = False
    limits: EndpointLimits = EndpointLimits()
    merge: bool = False
    control: bool = False
    vllm_arguments: tuple[str, ...] = ()

    def passed_on(self, option: str) -> str | None:
        """The value that vLLM is given for an option such as `--max-num-seqs`; None leaves it to vLLM."""
        given = (argument.partition("=") for argument in self.vllm_arguments)
        return next((value for name, _, value in given if name == option), None)


def cache_directory() -> Path:
    """Where content-addressed copies of adapters and merged models live."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echo-lora"
