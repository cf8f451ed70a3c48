"""StudyPlan: the study as registered before its first run; its hash is what a report can be held to."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from schemas.document import Count, Document, Positive, PositiveFloat, Section, Sha256
from schemas.studies.study_config import Part, StudyConfig
from schemas.training.train_config import TrainConfig, in_first_words
from schemas.upgrade import change_at, rename

Flops = Annotated[float, Field(gt=0)]


class TrainingCost(Section):
    """Counted compute of one run.

    4 N + 6 A operations per token that passes through the model (N frozen and A adapter values: 2 each for the forward
    pass, 2 for the gradients of the activations, 2 more for those of trained values), over the plain pass and the
    expected share of echo passes (2 N + 2 A for a pass of averaged weights, which has no gradients), and 6 E per sample and echo pass for the E values of the echo networks. Attention's
    quadratic part, DoRA's row norms, recomputation and padding are not counted.
    """

    steps: Positive
    """Optimizer steps."""
    samples: Positive
    """Samples seen."""
    tokens: PositiveFloat
    """Tokens of the plain pass."""
    echo_tokens: Annotated[float, Field(ge=0)]
    """Expected tokens of the echo passes: boundary and answers, or whole samples where the prefix cannot be shared."""
    base_parameters: Positive
    """N."""
    adapter_parameters: Positive
    """A: what ships."""
    echo_parameters: Count
    """E: trained beside it, and absent in deployment."""
    flops: Flops
    """Operations."""


class PlannedArm(Section):
    """One arm on one base."""

    base: Part
    """Base."""
    arm: Part
    """Arm."""
    config: dict[str, JsonValue]
    """The resolved training config, without name, place and seed; its learning rate counts only where nothing is tuned."""
    cost: TrainingCost
    """What one of its runs takes."""


class StudyProtocol(Section):
    """Everything that is fixed before the first run."""

    study: StudyConfig
    """The study's config: arms, outcome, contrasts, margins, level, seeds, grid."""
    arms: Annotated[tuple[PlannedArm, ...], Field(min_length=2)]
    """Every arm on every base, as it will be trained."""
    files: dict[str, Sha256]
    """Hashes of the inputs that lie here: training, validation and test files, and base models by their fingerprints."""

    def sha256(self) -> str:
        """Hash of the protocol's canonical JSON (sorted keys, no spaces, UTF-8), the study's place on the disk left out."""
        text = json.dumps(self._as_first_written(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def fixed(self) -> dict[str, JsonValue]:
        """What may not change, in today's words."""
        return self.model_dump(mode="json", exclude={"study": {"directory"}})

    def _as_first_written(self) -> dict[str, JsonValue]:
        """The same in the words of version 1: a registered hash outlives every change of words, here and in what cites it."""
        data = change_at(self.fixed(), "study.analysis.contrasts.*", rename({"baseline": "opponent"}))
        data = change_at(data, "arms.*.config", in_first_words)
        data = change_at(data, "study.analysis", partial(_without_unset, "open_echo"))
        data = change_at(data, "study", partial(_without_unset, "history"))
        first: dict[str, JsonValue] = change_at(data, "study.schema_version", lambda _: "1")
        return first

    def planned(self, base: str, arm: str) -> PlannedArm:
        """One arm on one base."""
        return next(one for one in self.arms if (one.base, one.arm) == (base, arm))


def _without_unset(key: str, section: Any) -> Any:
    """Plans of before the key existed are hashed without it."""
    return section if section.get(key) else {name: value for name, value in section.items() if name != key}


class Amendment(Section):
    """A change of the protocol after registration."""

    at: AwareDatetime
    """When."""
    reason: str
    """Why, in the words of who changed it."""
    differences: Annotated[tuple[str, ...], Field(min_length=1)]
    """What changed, one key each."""
    protocol_sha256: Sha256
    """Hash of the protocol before the change."""
    runs_finished: Count
    """Runs that were already finished and could have been looked at."""


def _in_todays_words(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    studied = change_at(data, "protocol.study", StudyConfig.upgraded)
    upgraded: dict[str, JsonValue] = change_at(studied, "protocol.arms.*.config", TrainConfig.upgraded)
    return upgraded


class StudyPlan(Document):
    """The registered protocol, with every later change."""

    title: ClassVar[str] = "study plan"
    upgrades: ClassVar = {"1": _in_todays_words}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    registered: AwareDatetime
    """When the first protocol was written, before the first run."""
    protocol_sha256: Sha256
    """Hash of `protocol`."""
    protocol: StudyProtocol
    """What is in force now."""
    amendments: tuple[Amendment, ...] = ()
    """Earlier protocols, oldest first."""

    @model_validator(mode="after")
    def _hash_is_the_protocol_s(self) -> Self:
        if self.protocol_sha256 != self.protocol.sha256():
            raise ValueError("protocol_sha256 is not the hash of the protocol: the plan was edited by hand")
        return self


def run_name(base: str, arm: str, seed: int, rate: float | None = None) -> str:
    """Name of a run's directory in the study's `runs/`; with a rate, of a tuning run in `tuning/`."""
    return f"{base}.{arm}.{'' if rate is None else f'lr{rate:g}.'}seed{seed}"


class TuningRun(Section):
    """One tuning run's score."""

    rate: PositiveFloat
    """Learning rate."""
    seed: Count
    """Seed."""
    score: float | None
    """Validation loss (nats) or validation accuracy; None where the loss was not finite."""


class ChosenRate(Section):
    """The learning rate of one arm on one base."""

    base: Part
    """Base."""
    arm: Part
    """Arm."""
    rate: PositiveFloat
    """The chosen one."""
    runs: tuple[TuningRun, ...]
    """What it was chosen from; empty where the grid has one rate."""
    at_edge: bool
    """Whether it is the grid's lowest or highest of three or more: a wider grid could do better."""


class ChosenRates(Document):
    """Every learning rate of the study, chosen on validation rows, written before the first compared run."""

    title: ClassVar[str] = "chosen learning rates"

    schema_version: Literal["1"] = "1"
    """Version of this schema."""
    protocol_sha256: Sha256
    """Protocol under which they were chosen."""
    rates: tuple[ChosenRate, ...]
    """By base and arm."""

    def rate_of(self, base: str, arm: str) -> float:
        """The rate of one arm on one base."""
        return next(one.rate for one in self.rates if (one.base, one.arm) == (base, arm))
