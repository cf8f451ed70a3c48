"""Attests one adapter on the running server: what it computes is what the trainer recorded, and not the base."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from schemas.evaluation.eval_report import AdapterReference, BaseReference
from schemas.serving.serving_attestation import (
    AppliedTensors,
    Dtype,
    GreedyCheck,
    MergeParity,
    ProbeCheck,
    ServerRecord,
    ServingAttestation,
)
from schemas.training.adapter_manifest import Probe
from serving.attestation.concurrent_requests import read_with_concurrent_requests
from serving.attestation.greedy_check import TOKENS, greedy_prompts, read_greedily
from serving.engine.client import EndpointClient
from serving.verify.verify import Candidate

# Largest difference of one log-probability, in nats, that two correct implementations show by rounding alone. Measured
# between vLLM and transformers: 1e-5 in float32; bfloat16 keeps 8 bits, and logits of 20 round by 0.06 each.
TOLERANCE: Mapping[Dtype, float] = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 3e-1}
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
    tolerance = tolerance_of(server.dtype, manifest.probe_dtype)
    probes = tuple(check_probe(client, served, probe, concurrent) for probe in manifest.probes)
    applied = None if served.parity else check_applied(client, served)
    generated = check_greedy(client, served, tolerance) if greedy else None
    reasons = faults(probes, tolerance, applied, generated)
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
        concurrent_models=tuple(concurrent),
        applied=applied,
        greedy=generated,
        seconds=round(time.perf_counter() - started, 3),
    )


def tolerance_of(served: Dtype, recorded: Dtype) -> float:
    """The tolerance of the coarser type."""
    return TOLERANCE[max(served, recorded, key=_COARSER.index)]


def check_probe(
    client: EndpointClient, served: ServedAdapter, probe: Probe, concurrent: Sequence[str] = ()
) -> ProbeCheck:
    """The server's log-probabilities of one probe, against those recorded, the base's, and its own among other requests."""
    names = [served.name] if served.base_name is None else [served.name, served.base_name]

    def read() -> np.ndarray:
        return np.array([client.log_probabilities(name, probe.token_ids) for name in names])

    alone, recorded = read(), np.array([probe.adapter, probe.base])
    difference = [largest(row) for row in alone - recorded[: len(names)]]
    together = read_with_concurrent_requests(client, concurrent, probe.token_ids[:1], read) if concurrent else None
    return ProbeCheck(
        prompt=probe.prompt,
        tokens=alone.shape[1],
        recorded_effect=largest(recorded[0] - recorded[1]),
        served_effect=largest(alone[0] - alone[1]) if len(names) == 2 else None,
        adapter_difference=difference[0],
        base_difference=difference[1] if len(names) == 2 else None,
        concurrent_difference=None if together is None else largest(together - alone),
    )


def check_applied(client: EndpointClient, served: ServedAdapter) -> AppliedTensors:
    """The adapter file's tensors against what the workers hold; with several workers, any of them counts."""
    workers = client.applied_tensors(served.name)
    found = {name for worker in workers for name in worker["norms"]}
    expected = {name for name, header in served.candidate.adapter.tensors.items() if not header.all_zero}
    return AppliedTensors(
        expected=len(expected),
        applied=len(found & expected),
        names=tuple(sorted(found)),
        missing=tuple(sorted(expected - found)),
        in_free_slots=tuple(sorted({name for worker in workers for name in worker["in_free_slots"]})),
    )


def check_greedy(client: EndpointClient, served: ServedAdapter, tolerance: float) -> GreedyCheck:
    """The server's greedy continuations, judged by transformers."""
    adapter = served.candidate.adapter
    prompts = greedy_prompts(adapter.manifest)
    answers = client.continue_greedily(served.name, prompts, TOKENS)
    return read_greedily(served.candidate.stored, served.candidate.base, prompts, answers, tolerance)


def faults(
    probes: Sequence[ProbeCheck], tolerance: float, applied: AppliedTensors | None, greedy: GreedyCheck | None
) -> tuple[str, ...]:
    """Every condition of a live adapter that does not hold, as a sentence."""
    off = max(probe.adapter_difference for probe in probes)
    base_off = max(probe.base_difference or 0.0 for probe in probes)
    recorded = max(probe.recorded_effect for probe in probes)
    served = max(recorded if probe.served_effect is None else probe.served_effect for probe in probes)
    mixed = max(probe.concurrent_difference or 0.0 for probe in probes)
    conditions = {
        f"the adapter's log-probabilities are {off:.3g} nats off the recorded ones, {tolerance:g} is allowed": off
        <= tolerance,
        f"the base's log-probabilities are {base_off:.3g} nats off the recorded ones, {tolerance:g} is allowed: "
        "another base model": base_off <= tolerance,
        f"the adapter answers like its base (largest difference {served:.3g} nats): it is not applied": served
        > tolerance,
        f"the recorded effect of the adapter, {recorded:.3g} nats, is not more than twice the tolerance {tolerance:g}: "
        "no server can be told from one without it; serve in float32, or train the adapter longer": recorded
        > 2 * tolerance,
        f"log-probabilities change by {mixed:.3g} nats while other models generate, {tolerance:g} is allowed: the server "
        "mixes up the requests of one batch": mixed <= tolerance,
    }
    if applied is not None:
        missing = f"{len(applied.missing)} of {applied.expected} tensors are not applied: {', '.join(applied.missing[:3])} ..."
        conditions[missing] = not applied.missing
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
