"""The story of the zero-overhead proof: structure, pilot, as many rounds as the control's noise asks for, verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress, TimeElapsedColumn

from schemas.adapter_reader import VerifiedAdapter
from schemas.errors import UserError
from schemas.evaluation.eval_report import AdapterReference
from schemas.serving.overhead_report import (
    Load,
    OverheadReport,
    StructuralCheck,
)
from serving.bench.equivalence import rounds_needed, tost
from serving.bench.rounds import METRICS, Measurements, Plan, run_round
from serving.bench.structure import compare_structure
from serving.bench.verdict import compare_variants, decide, summarise
from serving.engine.client import EndpointClient
from serving.gateway.settings import ATTESTOR_HEADER
from serving.options import ServeOptions
from serving.progress import console
from serving.server import AttestedServer, attested_server

MARGIN = 0.02
PILOT_ROUNDS = 6
WARM_UP_ROUNDS = 2
BASE_PORT_OFFSET = 1


@dataclass(frozen=True)
class BenchOptions:
    """One call of `python -m serving bench`."""

    server: ServeOptions
    """How to start the server; its runs are candidate and baseline."""
    margin: float = MARGIN
    """Largest relative difference that counts as equal."""
    concurrency: tuple[int, ...] = (1, 4)
    """Requests of a wave; each number is measured."""
    waves: int = 2
    """Per block. Few, so that the variants take turns faster than the machine's speed drifts."""
    prompt_tokens: int = 64
    """Of each prompt."""
    output_tokens: int = 32
    """Of each answer."""
    max_seconds: float = 1800.0
    """Measuring ends after this time even if the control's noise asks for more rounds."""
    max_rounds: int = 400
    """Most rounds."""
    merged: bool = True
    """Also serve the candidate merged into its base, for information."""
    seed: int = 0
    """Of the prompts and of the variants' order."""


def measure_overhead(options: BenchOptions) -> OverheadReport:
    """Serves both adapters from one process, measures them against each other and against a control.

    Raises:
        UserError: a run cannot be served, or the adapters have another shape, so that nothing is to be compared.
    """
    started = time.perf_counter()
    serve = replace(
        options.server, verdict_rule="ignore", control=True, vllm_arguments=(*options.server.vllm_arguments, *_NO_REUSE)
    )
    with attested_server(serve) as server:
        candidate, baseline = (served.candidate.adapter for served in server.adapters[:2])
        structure = prove_structure(server, candidate, baseline)
        plan = make_plan(server, candidate, options)
        measured, planned = measure(server, plan, options)
    if options.merged:
        measure_merged(serve, plan, measured)
    tests = tuple(compare_variants(measured, plan, options.margin))
    verdict, reason = decide(structure, tests, options.margin)
    return OverheadReport(
        created=datetime.now(UTC),
        candidate=_reference(candidate),
        baseline=_reference(baseline),
        server=server.record,
        margin=options.margin,
        structure=structure,
        load=Load(
            waves=options.waves,
            prompt_tokens=options.prompt_tokens,
            output_tokens=options.output_tokens,
            concurrency=options.concurrency,
            warm_up_rounds=WARM_UP_ROUNDS,
            pilot_rounds=PILOT_ROUNDS,
            planned_rounds=planned,
            rounds=len(measured.blocks[options.concurrency[0], "baseline"]),
            seed=options.seed,
        ),
        speeds=tuple(summarise(measured)),
        tests=tests,
        verdict=verdict,
        reason=reason,
        seconds=round(time.perf_counter() - started, 1),
    )


# The same prompts go to every variant: without this the variant that comes second would find some of its work done.
_NO_REUSE = ("--no-enable-prefix-caching",)


def prove_structure(
    server: AttestedServer, candidate: VerifiedAdapter, baseline: VerifiedAdapter
) -> tuple[StructuralCheck, ...]:
    """The structural proof, from the files and from the workers' buffers."""
    applied = [server.attestations[adapter.manifest.name].applied for adapter in (candidate, baseline)]
    if applied[0] is None or applied[1] is None:
        raise UserError(
            "an adapter that is served merged has no adapter overhead to measure", fix="compare LoRA adapters"
        )
    return compare_structure(candidate, baseline, (applied[0].names, applied[1].names))


def make_plan(server: AttestedServer, candidate: VerifiedAdapter, options: BenchOptions) -> Plan:
    """Variants by name on the server, and prompts out of tokens the base certainly knows."""
    vocabulary = {token for probe in candidate.manifest.probes for token in probe.token_ids}
    return Plan(
        variants={
            "candidate": server.adapters[0].name,
            "baseline": server.adapters[1].name,
            "control": server.control_name,
            "base": server.weights.name,
        },
        concurrency=options.concurrency,
        waves=options.waves,
        prompt_tokens=options.prompt_tokens,
        output_tokens=options.output_tokens,
        vocabulary=tuple(sorted(vocabulary)),
        seed=options.seed,
    )


def measure(server: AttestedServer, plan: Plan, options: BenchOptions) -> tuple[Measurements, int]:
    """Warm-up, pilot, then as many rounds as the pilot's control asks for, within the limits."""
    run, measured = _round_runner(server.client, plan), Measurements()
    deadline = time.perf_counter() + options.max_seconds
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("warm-up and pilot", total=WARM_UP_ROUNDS + PILOT_ROUNDS)
        for number in range(-WARM_UP_ROUNDS, PILOT_ROUNDS):
            run(number, Measurements() if number < 0 else measured)
            progress.advance(bar)
        planned = max(rounds_needed(noise, options.margin) for noise in control_noise(measured, plan))
        rounds = max(PILOT_ROUNDS, min(planned, options.max_rounds))
        run = _round_runner(server.client, without_base(plan))
        progress.update(bar, description=f"rounds ({planned} asked for by the control's noise)")
        progress.update(bar, total=WARM_UP_ROUNDS + rounds)
        for number in range(PILOT_ROUNDS, rounds):
            if time.perf_counter() > deadline:
                progress.console.print(f"[yellow]stopped after {number} rounds: the time limit is reached[/yellow]")
                break
            server.require_alive()
            run(number, measured)
            progress.advance(bar)
    return measured, planned


def without_base(plan: Plan) -> Plan:
    """The variants under test; the base's figures are for information, and the pilot has enough of them."""
    return replace(plan, variants={variant: name for variant, name in plan.variants.items() if variant != "base"})


def control_noise(measured: Measurements, plan: Plan) -> list[float]:
    """Standard deviation of the control's log-ratio, for every metric and concurrency."""
    return [
        tost(measured.log_ratios("control", "baseline", metric, concurrency), MARGIN).noise
        for concurrency in plan.concurrency
        for metric in METRICS
    ]


def measure_merged(serve: ServeOptions, plan: Plan, into: Measurements) -> None:
    """The candidate merged into its base, in a server of its own; for information, so a few rounds suffice."""
    alone = replace(serve, runs=serve.runs[:1], control=False, merge=True)
    with attested_server(alone) as server:
        merged = replace(plan, variants={"merged": server.adapters[0].name})
        run = _round_runner(server.client, merged)
        for number in range(WARM_UP_ROUNDS):
            run(-1 - number, Measurements())
        for number in range(PILOT_ROUNDS):
            run(number, into)


def _round_runner(client: EndpointClient, plan: Plan) -> Callable[[int, Measurements], None]:
    headers = {ATTESTOR_HEADER: client.secret}

    def run(number: int, into: Measurements) -> None:
        run_round(client.address, headers, plan, number, into)

    return run


def _reference(adapter: VerifiedAdapter) -> AdapterReference:
    manifest = adapter.manifest
    return AdapterReference(name=manifest.name, method=manifest.method, manifest_sha256=adapter.manifest_sha256)


def default_output(run: Path) -> Path:
    """Where the report goes if nobody says."""
    return run / "overhead" / "report.json"
