"""OverheadReport: what an adapter costs at inference, against another adapter of the same shape, with its noise floor."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.document import Count, Document, Fraction, Positive, Section
from schemas.evaluation.eval_report import AdapterReference
from schemas.serving.serving_attestation import ServerRecord
from schemas.upgrade import change_at, rename

Metric = Literal["time_to_first_token", "inter_token_latency", "seconds_per_token"]
OverheadVerdict = Literal["equivalent", "not_equivalent", "inconclusive"]


class StructuralCheck(Section):
    """One property in which both adapters must agree."""

    what: str
    """The property."""
    same: bool
    """Whether they agree in it."""
    detail: str
    """The common value, or how they differ."""


class Load(Section):
    """What was asked of the server, the same for every variant."""

    waves: Positive
    """Waves of requests per block."""
    prompt_tokens: Positive
    """Tokens of each prompt."""
    output_tokens: Positive
    """Tokens generated per request, end-of-sequence ignored."""
    concurrency: tuple[Positive, ...]
    """Requests of a wave, which start together; each number is measured apart."""
    warm_up_rounds: Count
    """Rounds thrown away before the first measured one."""
    pilot_rounds: Positive
    """Rounds after which the number of rounds was chosen from the control's noise."""
    planned_rounds: Positive
    """Rounds that the control's noise asks for at 90 % power."""
    rounds: Positive
    """Rounds measured; fewer than planned where the limit was reached."""
    seed: Count
    """Of prompts and order."""


class VariantSpeed(Section):
    """One variant, one concurrency: medians over its blocks."""

    variant: str
    """`candidate`, `baseline`, `control` (the baseline loaded a second time), `base` or `merged`."""
    concurrency: Positive
    """Requests in flight."""
    time_to_first_token: float
    """Seconds."""
    inter_token_latency: float
    """Seconds between two tokens of an answer."""
    tokens_per_second: float
    """Generated tokens of all requests per second of wall time."""


class Equivalence(Section):
    """Two one-sided tests on paired log-ratios: candidate over baseline, or control over baseline."""

    variant: Literal["candidate", "control"]
    """Numerator. The control is the baseline itself, so its ratio shows the noise and nothing else."""
    metric: Metric
    """What is compared. Less is faster in all three."""
    concurrency: Positive
    """Requests in flight."""
    ratio: float
    """Geometric mean over rounds."""
    rounds: tuple[float, ...]
    """Ratio of every round, in the order of measuring: what the test was computed from."""
    low: float
    """Lower end of the 90 % interval, the one that belongs to TOST at 5 %."""
    high: float
    """Upper end."""
    p_value: Fraction
    """The larger of the two one-sided p-values: small means equivalent within the margin."""
    noise: float
    """Standard deviation of the log-ratio between rounds."""
    verdict: OverheadVerdict
    """`equivalent`: the interval lies within the margin. `not_equivalent`: outside of it. Else the noise is too large."""


def _with_baselines(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the baseline the opponent, and what was measured an arm."""
    data = rename({"opponent": "baseline"})(data)
    data = change_at(data, "tests.*", rename({"arm": "variant"}))
    data = change_at(data, "speeds.*", rename({"arm": "variant"}))
    upgraded: dict[str, Any] = change_at(
        data, "speeds.*.variant", lambda name: "baseline" if name == "opponent" else name
    )
    return upgraded


class OverheadReport(Document):
    """The zero-overhead proof of one adapter."""

    title: ClassVar[str] = "overhead report"
    upgrades: ClassVar = {"1": _with_baselines}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    created: AwareDatetime
    """When measuring ended."""
    candidate: AdapterReference
    """The adapter whose overhead is in question."""
    baseline: AdapterReference
    """The plain adapter of the same shape."""
    server: ServerRecord
    """Where both were served, from one process."""
    margin: Fraction
    """Largest relative difference that counts as equal."""
    structure: Annotated[tuple[StructuralCheck, ...], Field(min_length=1)]
    """The structural proof: what makes the server do the same work for both."""
    load: Load
    """The load."""
    speeds: Annotated[tuple[VariantSpeed, ...], Field(min_length=1)]
    """Every variant. `base` and `merged` stand here for information: an adapter that is not merged costs time."""
    tests: Annotated[tuple[Equivalence, ...], Field(min_length=1)]
    """Every metric at every concurrency, for candidate and control."""
    verdict: OverheadVerdict
    """`equivalent` only where the structure is the same and every test of candidate and control says so."""
    reason: str
    """Why, in a sentence."""
    seconds: float
    """Wall time of the measurement."""
