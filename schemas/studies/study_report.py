"""StudyReport: what a study found, contrast by contrast, with the noise it found it in.

Accuracies and differences are fractions; sentences for people are in percentage points.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.document import Count, Document, Fraction, Positive, PositiveFloat, Section, Sha256
from schemas.evaluation.verdict import Difference
from schemas.studies.study_config import Part, StudyConfig
from schemas.studies.study_plan import Amendment, ChosenRate, TrainingCost
from schemas.upgrade import change_at, rename

Finding = Literal["different", "equivalent", "inconclusive", "not_tested"]


class ArmOutcome(Section):
    """One arm on one base."""

    base: Part
    """Base."""
    arm: Part
    """Arm."""
    learning_rate: PositiveFloat
    """Of its runs."""
    scores: Annotated[dict[str, Fraction], Field(min_length=1)]
    """Macro accuracy by seed."""
    mean: Fraction
    """Over seeds."""
    deviation: float | None
    """Standard deviation over seeds; None for a single one."""
    tasks: dict[str, Fraction]
    """Mean over seeds, by task."""
    unparsed: Fraction
    """Share of unparsed answers."""
    cost: TrainingCost
    """Counted compute of one run, as planned."""
    echo_steps: float
    """Mean optimizer steps whose routing drew the echo path."""
    seconds: float
    """Mean wall time of the optimisation; comparable only where nothing else ran beside it."""
    device: str
    """Device of the training runs."""


class Power(Section):
    """What a contrast's noise would have shown, and what seeing the wanted difference takes."""

    seed_deviation: float | None
    """Standard deviation between seeds of the paired macro difference; None for a single seed."""
    item_error: float
    """Standard error of the macro difference from the choice of items alone."""
    minimum_detectable_effect: float
    """True difference that this design shows at the level with 80 % power, before Holm."""
    wanted: float
    """The study's `detect`."""
    seeds_needed: Positive | None
    """Seeds that would show it on these items; None where even 10,000 would not."""
    items_factor: float | None
    """Times as many items that would show it with these seeds; None where no number would."""
    design_seeds: Positive | None
    """Seeds that would show it on `design_items_factor` times the items; None where even 10,000 would not."""
    design_items_factor: float | None
    """Times as many items, so that items and seeds each make at most half of the variance."""


class ContrastOutcome(Section):
    """One planned comparison on one base."""

    base: Part
    """Base."""
    name: Part
    """The contrast."""
    candidate: Part
    """Arm."""
    baseline: Part
    """Arm it is held against."""
    asks: str
    """The question."""
    margin: float
    """Bound of the equivalence test."""
    macro: Difference
    """Paired by seed and item; unadjusted interval and p-value."""
    tasks: dict[str, Difference]
    """The same, task by task: for reading, not for testing."""
    by_seed: dict[str, float]
    """Macro difference by seed."""
    p_holm: Fraction
    """p-value of no difference after Holm over all contrasts and bases."""
    p_equivalence: Fraction
    """Of a difference as large as the margin: the greater of two one-sided p-values."""
    p_equivalence_holm: Fraction
    """After Holm over the same family."""
    finding: Finding
    """different: p_holm at most the level; else equivalent: p_equivalence_holm at most the level; else inconclusive.
    Where an arm's echo was closed and no difference is shown: not_tested."""
    sentence: str
    """The finding in words."""
    power: Power
    """What could have been seen."""


class BaseOutcome(Section):
    """One base model without any adapter, on the same items."""

    base: Part
    """Base."""
    model: str
    """Its name."""
    weights_sha256: Sha256
    """Its weights."""
    parameters: Positive
    """Its values."""
    macro: Fraction
    """Macro accuracy."""
    tasks: dict[str, Fraction]
    """By task."""
    floors: dict[str, Fraction | None]
    """By task, the score of always giving the most frequent answer."""
    items: dict[str, Count]
    """By task, the number of items."""


def _with_baselines(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called the baseline of a contrast its opponent."""
    data = change_at(data, "study", StudyConfig.upgraded)
    upgraded: dict[str, Any] = change_at(data, "contrasts.*", rename({"opponent": "baseline"}))
    return upgraded


class StudyReport(Document):
    """What a study found."""

    title: ClassVar[str] = "study report"
    upgrades: ClassVar = {"1": _with_baselines}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    created: AwareDatetime
    """When it was written."""
    registered: AwareDatetime
    """When the protocol was registered."""
    protocol_sha256: Sha256
    """The protocol in force."""
    amendments: tuple[Amendment, ...]
    """Changes after registration; empty is what a reader hopes for."""
    study: StudyConfig
    """The study's config."""
    rates: tuple[ChosenRate, ...]
    """The learning rates and what they were chosen from."""
    bases: tuple[BaseOutcome, ...]
    """The base models."""
    arms: Annotated[tuple[ArmOutcome, ...], Field(min_length=2)]
    """The arms."""
    contrasts: Annotated[tuple[ContrastOutcome, ...], Field(min_length=1)]
    """The planned comparisons."""
    documents_sha256: dict[str, Sha256]
    """By task, hash over the test items: every run answered these."""
    reports_sha256: dict[str, Sha256]
    """By run, hash of its evaluation report."""
    adapters_sha256: dict[str, Sha256] = Field(default_factory=dict)
    """By run, hash of its adapter's tensors; empty in reports written before this field."""
    notes: tuple[str, ...]
    """What differs between the runs without making the comparison unfair."""
    versions: dict[str, str]
    """Versions of Python and of the packages, as the first run's manifest has them."""
