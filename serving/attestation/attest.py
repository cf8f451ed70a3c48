"""Attests one adapter on the running server: what it computes is what the trainer recorded, and not the base."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from schemas.adapter_reader import VerifiedAdapter
from schemas.evaluation.eval_report import AdapterReference, BaseReference
from schemas.serving.serving_attestation import (
    AppliedTensors,
    Dtype,
    EffectCheck,
    GreedyCheck,
    MergeParity,
    ProbeCheck,
    ServerRecord,
    ServingAttestation,
)
from schemas.training.adapter_manifest import Probe
from serving.attestation.concurrent_requests import read_with_concurrent_requests
from serving.attestation.effect import Nats, Readings, check_effect, effect_faults
from serving.attestation.greedy_check import TOKENS, greedy_prompts, read_greedily
from serving.engine.client import EndpointClient
from serving.engine.worker_extension import WorkerTensors
from serving.verify.verify import Candidate

# Largest difference of one log-probability, in nats, that two correct implementations show by rounding alone.
TOLERANCE: Mapping[Dtype, float] = {"float32": 1e-3, "float16": 2e-1, "bfloat16": 1.5}
# bfloat16 rounds each value by at most 1/512 of itself, and a lora_B twice: when it is read and when it is scaled.
NORM_TOLERANCE = 1 / 200
# Probes that are read a second time, among other requests; a fault in batching shows in any of them.
TWICE_READ = 8
_COARSER: Sequence[Dtype] = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ServedAdapter:
    """One adapter as the server has it."""

    candidate: Candidate
    """The verified run."""
    base_name: str | None
    """Model name of the base on the same server; None where the adapter is merged."""
    parity: MergeParity | None
    """Of merged and unmerged weights; None where the adapter is not merged."""

    @property
    def name(self) -> str:
        """Model name of the adapter."""
        return self.candidate.name


def attest(
    client: EndpointClient, served: ServedAdapter, server: ServerRecord, *, concurrent: Sequence[str], greedy: bool
) -> ServingAttestation:
    """Compares the server with the manifest. The outcome is in the document; nothing is raised for a failed one.

    Args:
        concurrent: models that are to generate while each probe is read a second time.
    """
    started = time.perf_counter()
    manifest = served.candidate.adapter.manifest
    readings = [read_probe(client, served, probe) for probe in manifest.probes]
    probes = tuple(
        check_probe(client, served, probe, reading, concurrent if number < TWICE_READ else ())
        for number, (probe, reading) in enumerate(zip(manifest.probes, readings, strict=True))
    )
    dtype = coarser(server.dtype, manifest.probe_dtype)
    tolerance = TOLERANCE[dtype]
    effect = check_effect(together(manifest.probes, readings), dtype)
    applied = None if served.parity else check_applied(client, served)
    generated = check_greedy(client, served, tolerance) if greedy else None
    reasons = faults(probes, effect, dtype, applied, generated)
    return ServingAttestation(
        name=manifest.name,
        created=datetime.now(UTC),
        outcome="failed" if reasons else "live",
        reasons=reasons,
        adapter=AdapterReference(
            name=manifest.name, method=manifest.method, manifest_sha256=served.candidate.adapter.manifest_sha256
        ),
        base=BaseReference(
            name=manifest.base.name,
            revision=manifest.base.revision,
            **served.candidate.base_identity.model_dump(),
        ),
        verdict_sha256=served.candidate.verdict_sha256,
        rank=manifest.adapter.rank,
        merged=served.parity is not None,
        parity=served.parity,
        server=server,
        tolerance=tolerance,
        probes=probes,
        effect=effect,
        concurrent_models=tuple(concurrent),
        applied=applied,
        greedy=generated,
        seconds=round(time.perf_counter() - started, 3),
    )


def coarser(served: Dtype, recorded: Dtype) -> Dtype:
    """The type that rounds more."""
    return max(served, recorded, key=_COARSER.index)


def read_probe(client: EndpointClient, served: ServedAdapter, probe: Probe) -> Nats:
    """The server's log-probabilities of a probe's tokens: of the adapter and, where it is served, of the base, [1 or 2, tokens]."""
    names = [served.name] if served.base_name is None else [served.name, served.base_name]
    return np.array([client.log_probabilities(name, probe.token_ids) for name in names])


def together(probes: Sequence[Probe], readings: Sequence[Nats]) -> Readings:
    """All probes' tokens one after another."""
    served = np.concatenate(readings, axis=1)
    return Readings(
        recorded_base=np.concatenate([probe.base for probe in probes]),
        recorded_adapter=np.concatenate([probe.adapter for probe in probes]),
        served_adapter=served[0],
        served_base=served[1] if len(served) == 2 else None,
    )


def check_probe(
    client: EndpointClient, served: ServedAdapter, probe: Probe, alone: Nats, concurrent: Sequence[str] = ()
) -> ProbeCheck:
    """The server's log-probabilities of one probe, against those recorded, the base's, and its own among other requests."""
    difference = [largest(row) for row in alone - np.array([probe.adapter, probe.base])[: len(alone)]]
    among_others = None
    if concurrent:
        again = read_with_concurrent_requests(
            client, concurrent, probe.token_ids[:1], lambda: read_probe(client, served, probe)
        )
        among_others = largest(again - alone)
    return ProbeCheck(
        prompt=probe.prompt,
        tokens=alone.shape[1],
        recorded_effect=largest(np.array(probe.adapter) - np.array(probe.base)),
        served_effect=largest(alone[0] - alone[1]) if len(alone) == 2 else None,
        adapter_difference=difference[0],
        base_difference=difference[1] if len(alone) == 2 else None,
        concurrent_difference=among_others,
    )


def check_applied(client: EndpointClient, served: ServedAdapter) -> AppliedTensors:
    """The adapter file's tensors against what the workers hold; with several workers, any of them counts."""
    workers = client.applied_tensors(served.name)
    found = {name for worker in workers for name in worker["norms"]}
    adapter = served.candidate.adapter
    expected = {name for name, header in adapter.tensors.items() if not header.all_zero}
    return AppliedTensors(
        expected=len(expected),
        applied=len(found & expected),
        names=tuple(sorted(found)),
        missing=tuple(sorted(expected - found)),
        altered=tuple(sorted(name for name in found & expected if not is_whole(name, adapter, workers))),
        in_free_slots=tuple(sorted({name for worker in workers for name in worker["in_free_slots"]})),
    )


def is_whole(name: str, adapter: VerifiedAdapter, workers: Sequence[WorkerTensors]) -> bool:
    """Whether a worker holds the file's tensor, or all workers' shards have its norm; vLLM scales a lora_B by alpha / r."""
    scale = adapter.manifest.adapter.alpha / adapter.manifest.adapter.rank if "lora_B" in name else 1.0
    expected, allowed = scale * adapter.tensors[name].norm, NORM_TOLERANCE * scale * adapter.tensors[name].norm
    holders = [worker for worker in workers if name in worker["norms"]]
    for worker in holders:
        off = worker["projections"][name] - scale * adapter.tensors[name].projection
        if max(abs(worker["norms"][name] - expected), abs(off)) <= allowed:
            return True
    norms = [worker["norms"][name] for worker in holders]
    return len(norms) > 1 and abs(math.hypot(*norms) - expected) <= allowed


def check_greedy(client: EndpointClient, served: ServedAdapter, tolerance: float) -> GreedyCheck:
    """The server's greedy continuations, judged by transformers."""
    adapter = served.candidate.adapter
    prompts = greedy_prompts(adapter.manifest)
    answers = client.continue_greedily(served.name, prompts, TOKENS)
    return read_greedily(served.candidate.stored, served.candidate.base, prompts, answers, tolerance)


def faults(
    probes: Sequence[ProbeCheck],
    effect: EffectCheck,
    dtype: Dtype,
    applied: AppliedTensors | None,
    greedy: GreedyCheck | None,
) -> tuple[str, ...]:
    """Every condition of a live adapter that does not hold, as a sentence."""
    tolerance = TOLERANCE[dtype]
    off = max(probe.adapter_difference for probe in probes)
    mixed = max(probe.concurrent_difference or 0.0 for probe in probes)
    conditions = {
        **effect_faults(effect, dtype),
        f"a token's log-probability is {off:.3g} nats off the recorded one, {tolerance:g} is allowed": off <= tolerance,
        f"log-probabilities change by {mixed:.3g} nats while other models generate, {tolerance:g} is allowed: the server "
        "mixes up the requests of one batch": mixed <= tolerance,
    }
    if applied is not None:
        missing = f"{len(applied.missing)} of {applied.expected} tensors are not applied: {', '.join(applied.missing[:3])} ..."
        conditions[missing] = not applied.missing
        altered = f"{len(applied.altered)} tensors are not those of the file: {', '.join(applied.altered[:3])} ..."
        conditions[altered] = not applied.altered
        conditions[
            f"slots without an adapter are not zero: {', '.join(applied.in_free_slots[:3])} ..."
        ] = not applied.in_free_slots
    if greedy is not None:
        odd = greedy.tokens - greedy.agreeing - greedy.ties
        gap = f"{odd} of {greedy.tokens} greedy tokens are not transformers' choice (largest gap {greedy.worst_gap:.3g} nats)"
        conditions[gap] = odd == 0
    return tuple(sentence for sentence, holds in conditions.items() if not holds)


def largest(values: np.ndarray) -> float:
    """Largest absolute value; a NaN anywhere is infinitely wrong, and must not vanish in a maximum."""
    return float(np.nan_to_num(np.abs(values), nan=1e9, posinf=1e9).max())
