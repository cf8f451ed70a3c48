"""Verdict: whether an adapter may be served, check by check, and the paired statistics it rests on.

Scores and differences are fractions, as in the EvalReport; sentences for people are in percentage points.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.document import Count, Document, Fraction, Positive, Section, Sha256
from schemas.evaluation.contradictions import contradictions
from schemas.evaluation.decision import Decision
from schemas.evaluation.eval_report import AdapterReference, Interval, Variant
from schemas.training.train_config import Name
from schemas.upgrade import change_at, rename


class Difference(Section):
    """A paired difference, adapter minus baseline."""

    estimate: float
    """The observed difference."""
    standard_error: float
    """Of the bootstrap distribution."""
    interval: Interval
    """Bootstrap interval."""
    p_value: Fraction
    """Two-sided, of no difference: exact McNemar for a task with one run each, bootstrap otherwise."""
    minimum_detectable_effect: float
    """True difference that samples of this size and spread would show as not chance 80 % of the time."""


class PairedTask(Section):
    """One task, item by item."""

    items: Positive
    """Paired items."""
    clusters: Positive
    """Independent groups among them; equal to `items` where each stands alone."""
    candidate: Fraction
    """Mean score of the adapter's runs."""
    baseline: Fraction
    """Mean score of the baseline's runs."""
    fixed: Count
    """Items the baseline missed and the adapter got right, summed over pairs of runs."""
    broken: Count
    """Items the baseline got right and the adapter missed, summed over pairs of runs."""
    difference: Difference
    """Adapter minus baseline."""
    p_holm: Fraction
    """The p-value after Holm's correction over the tasks of this comparison."""


class PairedGroup(Section):
    """Tasks that belong together."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Its tasks."""
    difference: Difference
    """Adapter minus baseline, of the tasks' average."""


class Comparison(Section):
    """An adapter against one baseline on one suite."""

    suite: Name
    """Name of the suite."""
    candidates: Annotated[tuple[str, ...], Field(min_length=1)]
    """Runs of the adapter; several are seeds of one configuration."""
    baselines: Annotated[tuple[str, ...], Field(min_length=1)]
    """Runs of the baseline."""
    baseline_variant: Variant
    """Whether the baseline is an adapter or the base model."""
    macro: Difference
    """Difference of the macro averages."""
    tasks: Annotated[dict[str, PairedTask], Field(min_length=1)]
    """By task."""
    groups: dict[str, PairedGroup] = Field(default_factory=dict)
    """By the group's name, where the suite has groups."""
    seed_standard_error: float | None
    """Part of the macro's standard error that comes from training seeds; None where both are a single run, whose
    verdict holds for these weights and not for the method."""
    notes: tuple[str, ...] = ()
    """What differs between the reports without making the comparison unfair, such as the backend."""


class CheckResult(Section):
    """One condition of the policy on one subject."""

    suite: Name
    """Name of the suite."""
    candidates: Annotated[tuple[str, ...], Field(min_length=1)]
    """Whose answers were checked: the adapter by itself, or with it the other seeds of its configuration."""
    kind: Literal["superiority", "non_inferiority", "floor", "unparsed", "trained_as_scored"]
    """Kind of check."""
    subject: str
    """`macro`, a task, or a group of tasks."""
    against: str | None
    """Baseline; None for checks of the adapter alone."""
    decision: Decision
    """What this check says."""
    reason: str
    """Why, in a sentence."""
    estimate: float
    """Observed difference, score or rate; of `trained_as_scored`, how many differences of words."""
    interval: Interval | None
    """Interval the decision rests on; None where the observed value decides."""
    threshold: float
    """What the interval or value was held against."""
    minimum_detectable_effect: float | None
    """Of the difference; None for checks of the adapter alone."""


class PolicyReference(Section):
    """Which policy was applied."""

    name: Name
    """Its name."""
    description: str
    """What it is for."""
    sha256: Sha256
    """Hash of its JSON."""
    text: str | None = None
    """Its JSON, from which a reader knows what had to be checked; None in verdicts of version 1."""


class Evidence(Section):
    """One report the verdict rests on."""

    run: Name
    """The run's name."""
    suite: Name
    """Name of the suite."""
    report_sha256: Sha256
    """Hash of report.json."""
    samples_sha256: Sha256
    """Hash of samples.jsonl."""


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 called a baseline an opponent, and did not say whose answers a check was of: always everybody's."""
    data = change_at(data, "comparisons.*", rename({"opponents": "baselines", "opponent_arm": "baseline_variant"}))
    data = change_at(data, "comparisons.*.tasks.*", rename({"opponent": "baseline"}))
    upgraded: dict[str, Any] = change_at(data, "checks.*", lambda check: _with_candidates(check, data))
    return upgraded


def _with_candidates(check: Any, data: dict[str, Any]) -> Any:
    adapter, comparisons = data.get("adapter"), data.get("comparisons")
    if not isinstance(check, dict) or not isinstance(adapter, dict) or not isinstance(comparisons, list):
        return check
    alone = [adapter.get("name")]
    of_suite = [one for one in comparisons if isinstance(one, dict) and one.get("suite") == check.get("suite")]
    candidates = of_suite[0].get("candidates", alone) if of_suite and check.get("against") is not None else alone
    return {"candidates": candidates, **check}


class Verdict(Document):
    """Whether the adapter may be served."""

    title: ClassVar[str] = "verdict"
    upgrades: ClassVar = {"1": _from_version_1}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    created: AwareDatetime
    """When it was formed."""
    adapter: AdapterReference
    """The adapter judged. A server compares the manifest hash, so that no other adapter borrows the verdict."""
    against: tuple[str, ...]
    """What `--against` named; empty where the policy needs no baseline."""
    policy: PolicyReference
    """The policy."""
    decision: Decision
    """The gravest of the checks."""
    reason: str
    """Why, in a sentence or two."""
    checks: Annotated[tuple[CheckResult, ...], Field(min_length=1)]
    """Every condition."""
    comparisons: tuple[Comparison, ...]
    """The paired statistics."""
    suites_left_out: tuple[Name, ...]
    """Optional suites of the policy that the run was not evaluated on."""
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1)]
    """Every report read."""

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if found := list(contradictions(self)):
            raise ValueError("the verdict contradicts itself: " + "; ".join(found[:5]))
        return self
