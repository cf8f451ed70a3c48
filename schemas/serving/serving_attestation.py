"""ServingAttestation: the proof that the server computes with this adapter, on this base, and not with less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.document import Count, Document, Fraction, Positive, Section, Sha256
from schemas.evaluation.eval_report import AdapterReference, BaseReference
from schemas.training.train_config import Name

Dtype = Literal["float32", "bfloat16", "float16"]


class ProbeCheck(Section):
    """One probe of the manifest, computed again by the server. Differences are in nats, over the probe's tokens."""

    prompt: str
    """The probe's prompt."""
    tokens: Positive
    """Tokens whose log-probability was compared."""
    recorded_effect: float
    """Largest |adapter - base| that the trainer recorded."""
    served_effect: float | None
    """Largest |adapter - base| on the server; None where the base is not served beside the adapter (merged)."""
    adapter_difference: float
    """Largest |served - recorded| of the adapter."""
    base_difference: float | None
    """Largest |served - recorded| of the base; None where it is not served."""
    concurrent_difference: float | None
    """Largest change of the served log-probabilities, of adapter and base, while the `concurrent_models` generate; None
    where there are none, and of the later of many probes."""


class EffectCheck(Section):
    """What the adapter does to the log-probabilities, served against recorded, over all tokens of all probes.

    The effect of a token is its log-probability under the adapter less that under the base. Of two correct
    implementations the slope is 1, and the residual is what rounding alone makes.
    """

    tokens: Positive
    """Tokens compared."""
    recorded: float
    """Root mean square of the recorded effect, in nats."""
    slope: float
    """Of the served effect on the recorded one, by least squares through the origin."""
    slope_error: float
    """Standard error of the slope from rounding alone."""
    residual: float
    """Root mean square of the served effect less the recorded one, in nats."""
    rounding: float
    """Root mean square of the base's served less its recorded log-probabilities, in nats; where the base is not served
    (merged), what is assumed for the type."""


class GreedyCheck(Section):
    """Greedy generations of the server, read by transformers."""

    prompts: Positive
    """Prompts continued."""
    tokens: Positive
    """Tokens generated."""
    agreeing: Count
    """Tokens that are transformers' most likely token too."""
    ties: Count
    """Tokens that are not, but whose log-probability lies within the tolerance of the most likely one's."""
    worst_gap: float
    """Largest log-probability that a served token falls short of transformers' most likely one, in nats."""


class MergeParity(Section):
    """How far the merged weights are from base and adapter computed apart, in transformers, over the probes."""

    dtype: Dtype
    """Type the merged weights were cast to, once, from float32."""
    logits: float
    """Largest |merged - unmerged| logit."""
    log_probabilities: float
    """Largest |merged - unmerged| log-probability of a probe's own token, in nats."""
    argmax_agreement: Fraction
    """Share of positions with the same most likely token."""
    weights_sha256: Sha256
    """Fingerprint of the merged weight files."""


class AppliedTensors(Section):
    """What the server's workers hold in the buffers they compute with, read back from them."""

    expected: Positive
    """Tensors in the adapter file that are not all zero."""
    applied: Count
    """Of these, tensors found in the workers' buffers, not all zero."""
    names: tuple[str, ...]
    """Names of the applied tensors."""
    missing: tuple[str, ...]
    """Names of the tensors that no worker applied."""
    altered: tuple[str, ...] = ()
    """Names of the tensors whose values in the buffers, of a lora_B times alpha / r, are not the file's, by their norm and
    one projection."""
    in_free_slots: tuple[str, ...]
    """Names of tensors that are not zero in a slot without an adapter: on vLLM's CPU build, requests without an adapter
    compute with the last slot."""


class ServerRecord(Section):
    """The server that was attested."""

    vllm: str
    """Version of vLLM."""
    dtype: Dtype
    """Type of the weights in the server."""
    max_lora_rank: Positive | None
    """Width of the server's adapter buffers; None where the adapter is merged."""
    max_loras: Positive | None
    """Adapter slots of the server, on vLLM's CPU build one more than adapters; None where the adapter is merged."""
    device: str
    """Processor or GPU."""
    platform: str
    """Operating system and architecture."""
    versions: dict[str, str]
    """Versions of Python and of the packages that shaped the result."""


def _concurrent_words(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the concurrent models `company`."""
    renamed = {"concurrent_models" if key == "company" else key: value for key, value in data.items()}
    probes = renamed.get("probes")
    if isinstance(probes, list):
        renamed["probes"] = [_concurrent_difference(probe) for probe in probes]
    return renamed


def _concurrent_difference(probe: Any) -> Any:
    if not isinstance(probe, dict):
        return probe
    return {"concurrent_difference" if key == "company_difference" else key: value for key, value in probe.items()}


class ServingAttestation(Document):
    """One adapter on one server."""

    title: ClassVar[str] = "serving attestation"
    upgrades: ClassVar[Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {"1": _concurrent_words, "2": dict}

    schema_version: Literal["3"] = "3"
    """Version of this schema."""
    name: Name
    """Model name the adapter answers to."""
    created: AwareDatetime
    """When it was attested."""
    outcome: Literal["live", "failed"]
    """`live`: every condition holds. A failed attestation is written too; nothing is served under it."""
    reasons: tuple[str, ...]
    """The conditions that do not hold; empty exactly where the adapter is live."""
    adapter: AdapterReference
    """The adapter."""
    base: BaseReference
    """The base model under it, its fingerprints computed from the files that the server loaded."""
    verdict_sha256: Sha256 | None
    """Hash of the verdict that let the adapter through; None where it was served ungated."""
    rank: Positive
    """r of the adapter."""
    merged: bool
    """Whether the adapter is merged into the weights (DoRA, where vLLM cannot load it)."""
    parity: MergeParity | None
    """Of merged and unmerged weights; None where the adapter is not merged."""
    server: ServerRecord
    """The server."""
    tolerance: float
    """Largest difference of one token's log-probability from the trainer's that counts as rounding for the coarser of the
    server's and the probes' types, in nats."""
    probes: Annotated[tuple[ProbeCheck, ...], Field(min_length=1)]
    """Every probe of the manifest."""
    effect: EffectCheck | None = None
    """The adapter's effect over all probes together; None in attestations of releases that did not look."""
    concurrent_models: tuple[str, ...]
    """Models that were generating in the same batches when each probe was read a second time, from before until after
    the reading; empty where the server holds one model, or computes one request at a time."""
    applied: AppliedTensors | None
    """Read back from the workers; None where the adapter is merged."""
    greedy: GreedyCheck | None
    """Greedy agreement with transformers; None where it was not asked for."""
    seconds: float
    """Wall time of the attestation."""

    @model_validator(mode="after")
    def _live_without_reasons(self) -> Self:
        if (self.outcome == "live") != (not self.reasons):
            raise ValueError("an attestation is live exactly where no reason speaks against it")
        if self.merged != (self.parity is not None):
            raise ValueError("parity belongs to merged adapters, and every merged adapter has it")
        return self
