"""The command line of `python -m serving`."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.options import EndpointLimits, ServeOptions

_DOCKER_SECRET = Path("/run/secrets/api_key")
# vLLM's options that change speed or size, not what is loaded, who may ask or what is open: those are ours to set.
_PASSED_ON = {
    "--tensor-parallel-size": "GPUs that share each layer",
    "--pipeline-parallel-size": "groups of layers on GPUs of their own",
    "--data-parallel-size": "copies of the model",
    "--distributed-executor-backend": "mp or ray",
    "--gpu-memory-utilization": "share of the memory that vLLM takes",
    "--max-model-len": "longest prompt and answer, in tokens",
    "--max-num-seqs": "requests computed together",
    "--max-num-batched-tokens": "tokens computed together",
    "--kv-cache-dtype": "type of the key-value cache",
    "--chat-template": "file with a chat template, for tokenizers without one",
}


def parse_serve_options(argv: list[str]) -> ServeOptions:
    """The options of one call; argparse itself answers --help and wrong usage (exit 2)."""
    arguments = serve_parser().parse_args(argv)
    defaults = EndpointLimits()
    return ServeOptions(
        runs=tuple(arguments.runs),
        host=arguments.host,
        port=arguments.port,
        base=arguments.base,
        dtype=arguments.dtype,
        api_key_file=arguments.api_key_file or _mounted_secret(),
        verify_key=arguments.verify_key,
        verdict_rule="if_present" if arguments.ungated else "require",
        attest=arguments.attest,
        start_seconds=arguments.start_timeout,
        watch_seconds=arguments.watch_seconds,
        drain_seconds=arguments.drain_seconds,
        verbose=arguments.verbose,
        log_prompts=arguments.log_prompts,
        limits=EndpointLimits(
            arguments.max_body_bytes or defaults.body_bytes, arguments.max_concurrent or defaults.concurrent_requests
        ),
        vllm_arguments=passed_on(arguments),
    )


def serve_parser() -> argparse.ArgumentParser:
    """Its help is the manual."""
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Verifies adapters, starts vLLM, attests that each adapter is live, and only then lets clients in.",
        epilog="python -m serving bench RUN --against RUN2 measures what an adapter costs; python -m serving sign RUN signs it; "
        "python -m serving export RUN writes it for other servers. "
        "Exit codes: 2 refused, with the reason; 1 vLLM died; 130 Ctrl-C; 143 SIGTERM.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory, such as runs/quickstart-lora")
    add_server_arguments(parser)
    parser.add_argument("--ungated", action="store_true", help="serve an adapter that has no verdict")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key-file", type=Path, help="file with the key that clients must present")
    parser.add_argument(
        "--attest", choices=("probes", "full"), default="probes", help="full: greedy agreement with transformers too"
    )
    parser.add_argument("--verify-key", type=Path, help="public key every adapter must be signed with")
    parser.add_argument("--max-concurrent", type=int, help="generations in flight before 429 (default 256)")
    parser.add_argument("--max-body-bytes", type=int, help="longest request body before 413 (default 4 MiB)")
    parser.add_argument(
        "--watch-seconds", type=float, default=15.0, help="time between two checks of files and answers"
    )
    parser.add_argument("--drain-seconds", type=int, default=30, help="time for requests in flight after SIGTERM")
    parser.add_argument("--log-prompts", action="store_true", help="let vLLM log requests with their prompts")
    return parser


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """What starting a server takes, for serving and for the bench."""
    parser.add_argument(
        "--base", type=Path, help="directory of the base model, where it is not as the manifest names it"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="type of the weights (default: as trained)"
    )
    parser.add_argument("--start-timeout", type=float, default=1800.0, help="seconds vLLM may take to load")
    parser.add_argument("--verbose", action="store_true", help="show vLLM's own log")
    vllm = parser.add_argument_group("passed on to vLLM")
    for option, meaning in _PASSED_ON.items():
        vllm.add_argument(option, help=meaning)


def passed_on(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options of vLLM that were given."""
    given = ((option, getattr(arguments, option[2:].replace("-", "_"))) for option in _PASSED_ON)
    return tuple(f"{option}={value}" for option, value in given if value is not None)


def _mounted_secret() -> Path | None:
    """The key that a container has mounted as a secret; an empty one counts as none."""
    try:
        return _DOCKER_SECRET if _DOCKER_SECRET.read_bytes().strip() else None
    except OSError:
        return None
