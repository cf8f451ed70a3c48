"""Stands beside the running server: watches process, files and answers, attests again on demand, and says goodbye."""

from __future__ import annotations

import time
from typing import Never

from rich.table import Table

from schemas.errors import INTERRUPTED, Interrupted, UserError
from serving.engine.vllm_process import log_path
from serving.options import ServeOptions
from serving.progress import complain, console
from serving.server import AttestedServer, EngineDied, attested_server

ENGINE_DIED = 1
ATTESTATION_PAUSE = 15.0
"""Seconds between two attestations that clients asked for: it keeps the server busy, and anybody with a key may ask."""


def serve(options: ServeOptions) -> int:
    """Serves until it is told to stop (SIGTERM, Ctrl-C) or vLLM dies; the latter returns 1, for a restart policy."""
    try:
        with attested_server(options) as server:
            announce(server)
            watch(server)
    except KeyboardInterrupt as stop:
        console.print("stopped; requests in flight were given time to finish")
        return stop.exit_code if isinstance(stop, Interrupted) else INTERRUPTED
    except EngineDied as error:
        complain(str(error))
        return ENGINE_DIED


def watch(server: AttestedServer) -> Never:
    """Looks after the server, forever.

    Raises:
        EngineDied: vLLM ended.
    """
    due, rested = time.monotonic() + server.options.watch_seconds, 0.0
    while True:
        time.sleep(0.5)
        server.require_alive()
        wanted = time.monotonic() >= rested and server.state.attestation_request.exists()
        if not wanted and time.monotonic() < due:
            continue
        if wanted:
            server.state.attestation_request.unlink(missing_ok=True)
        look(server, attest_again=wanted)
        due = time.monotonic() + server.options.watch_seconds
        rested = time.monotonic() + ATTESTATION_PAUSE if wanted else rested


def look(server: AttestedServer, *, attest_again: bool) -> None:
    """One check; what it finds decides whether the server is ready. It never ends it: /ready tells the orchestrator."""
    try:
        if attest_again:
            server.attest_all()
        fault = server.check()
    except UserError as error:
        fault = error.what
    except Exception as error:  # the engine may die between two lines; the next look at the process tells
        fault = f"{type(error).__name__}: {error}"
    if fault is None:
        server.set_ready()
    elif server.readiness.read().reason != fault:
        complain(fault, kind="unhealthy")
        server.readiness.write("unhealthy", fault)


def announce(server: AttestedServer) -> None:
    """Prints what was attested and how to talk to it."""
    table = Table(title="Attested: log-probabilities in nats")
    for column in ("model", "method", "rank", "merged", "effect", "off recorded", "allowed", "tensors"):
        table.add_column(column)
    for attestation in server.attestations.values():
        applied, parity = attestation.applied, attestation.parity
        table.add_row(
            attestation.name,
            attestation.adapter.method,
            str(attestation.rank),
            "yes" if attestation.merged else "no",
            f"{max(probe.recorded_effect for probe in attestation.probes):.2g}",
            f"{max(probe.adapter_difference for probe in attestation.probes):.2g}",
            f"{attestation.tolerance:g}",
            "-" if applied is None else f"{applied.applied}/{applied.expected}",
        )
        if parity is not None:
            console.print(
                f"{attestation.name} is a DoRA adapter and is served merged: its log-probabilities differ from those of"
                f" the unmerged adapter by at most {parity.log_probabilities:.2g} nats ({parity.dtype})"
            )
    console.print(table)
    if log := log_path(server.options):
        console.print(f"vLLM's log and one JSON line per request: {log}")
    name, key = next(iter(server.attestations)), server.options.api_key_file
    header = f' -H "Authorization: Bearer $(cat {key})"' if key else ""
    shown = f'open("{key}").read().strip()' if key else '"none"'
    print(
        f"""Ready: {server.address}/v1

  curl {server.address}/v1/completions{header} -H "Content-Type: application/json" \\
    -d '{{"model": "{name}", "prompt": "Hello", "max_tokens": 16}}'

  from openai import OpenAI
  client = OpenAI(base_url="{server.address}/v1", api_key={shown})
  print(client.completions.create(model="{name}", prompt="Hello", max_tokens=16).choices[0].text)
""",
        flush=True,
    )
