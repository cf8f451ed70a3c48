"""GatePolicy: what an adapter must show before it may be served. Written by people, in YAML.

Margins, minima and limits are in percentage points, since that is how people argue about scores; every other document
holds fractions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.document import Count, Document, Section
from schemas.storage.yaml_files import read_yaml
from schemas.training.train_config import Name
from schemas.upgrade import change_at

Points = Annotated[float, Field(ge=0.0, le=100.0)]
Baseline = Literal["base", "baseline"]
Subject = Literal["macro", "each_task", "each_group"] | Annotated[tuple[str, ...], Field(min_length=1)]


class Superiority(Section):
    """The adapter is better: the whole interval of the paired difference lies above the margin."""

    kind: Literal["superiority"]
    """Tells this check from the others."""
    against: Baseline
    """`base`: the base model in the adapter's own report. `baseline`: what `--against` names."""
    over: Subject = "macro"
    """`macro`: the average of the tasks; `each_task` or `each_group`: every one by itself; or a list of names,
    each by itself. A group's score is the average of its tasks."""
    margin: Points = 0.0
    """Percentage points it must be better by; 0 asks for any gain that is not chance."""


class NonInferiority(Section):
    """The adapter is not worse by more than the margin: the whole interval lies above minus the margin."""

    kind: Literal["non_inferiority"]
    """Tells this check from the others."""
    against: Baseline
    """`base`: the base model in the adapter's own report. `baseline`: what `--against` names."""
    over: Subject = "macro"
    """`macro`, `each_task`, `each_group`, or a list of tasks, groups and `macro`."""
    margin: Annotated[float, Field(gt=0.0, le=100.0)]
    """Percentage points of loss that would still be acceptable. Without a margin, "not worse" cannot be shown."""


class Floor(Section):
    """The adapter's own score: the whole interval lies above a minimum."""

    kind: Literal["floor"]
    """Tells this check from the others."""
    over: Subject = "macro"
    """`macro`, `each_task`, `each_group`, or a list of tasks, groups and `macro`."""
    minimum: Points | None = None
    """The least acceptable score, in percent."""
    above_majority: Points | None = None
    """Points above the score of always giving the most frequent answer; tasks with free-text answers have none."""

    @model_validator(mode="after")
    def _one_kind_of_floor(self) -> Self:
        if (self.minimum is None) == (self.above_majority is None):
            raise ValueError("give either `minimum` or `above_majority`")
        return self


class Unparsed(Section):
    """In no task are more answers unparsed than the limit. Judged on the observed rate of each task."""

    kind: Literal["unparsed"]
    """Tells this check from the others."""
    limit: Points
    """Largest share of unparsed answers, in percent."""


class TrainedAsScored(Section):
    """The adapter is asked in the words that it was trained with. What differs is named; unknown is no pass."""

    kind: Literal["trained_as_scored"]
    """Tells this check from the others."""


Check = Annotated[Superiority | NonInferiority | Floor | Unparsed | TrainedAsScored, Field(discriminator="kind")]


class SuitePolicy(Section):
    """What one suite must show."""

    required: bool = True
    """True: no verdict without this suite. False: judged where the run was evaluated on it, and named as left out elsewhere."""
    tasks: tuple[str, ...] = ()
    """Tasks the report must hold; other tasks are judged with them. Empty: whatever the report holds."""
    full: bool = True
    """Refuses a report made with `--limit`."""
    unscored: Points = 0.0
    """Largest share of items without a score, per task, in percent. Beyond it there is no verdict; up to it, each such
    item counts against the adapter: as wrong for the adapter, as right for its baseline."""
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    """All must pass. An empty list would pass everything, so it is an error."""


def _baseline(name: Any) -> Any:
    """Version 1 called what `--against` names the reference."""
    return "baseline" if name == "reference" else name


class GatePolicy(Document):
    """The conditions an adapter must meet, by suite."""

    title: ClassVar[str] = "gate policy"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "suites.*.checks.*.against", _baseline)}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    name: Name
    """Shown in the verdict."""
    description: str = ""
    """What the policy is for, in a sentence."""
    confidence: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    """Level of every two-sided interval; over K tasks each by itself, the level per task is 1 - (1 - confidence) / K."""
    resamples: Annotated[int, Field(ge=1_000, le=1_000_000)] = 10_000
    """Bootstrap resamples."""
    seed: Count = 0
    """Seed of the resampling: equal reports give equal verdicts."""
    suites: Annotated[dict[Name, SuitePolicy], Field(min_length=1)]
    """By suite name."""

    @model_validator(mode="after")
    def _something_is_required(self) -> Self:
        if not any(suite.required for suite in self.suites.values()):
            raise ValueError("at least one suite must be required, or a run without any evaluation would pass")
        return self

    @property
    def needs_baseline(self) -> bool:
        """Whether a check compares with what `--against` names."""
        checks = (check for suite in self.suites.values() for check in suite.checks)
        return any(getattr(check, "against", None) == "baseline" for check in checks)

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Reads and validates a policy file.

        Raises:
            UserError: the file is missing, is not YAML, names a key twice, or does not fit the schema.
        """
        return cls.parse(read_yaml(path, cls.title), where=path)
