"""StudyConfig: what a study asks, in one YAML file: arms x seeds x bases, how rates are chosen, and the planned tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from schemas.document import Count, Document, Positive, PositiveFloat, Section
from schemas.evaluation.suite_file import LmEvalTask, OwnTask, SuiteFile
from schemas.training.train_config import Name, Place
from schemas.upgrade import change_at, rename

Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
"""Name of a base, an arm or a contrast: a part of a run's name, so without dots."""
Share = Annotated[float, Field(gt=0, lt=1)]
Overrides = dict[str, JsonValue]
"""Keys of a TrainConfig, nested as in its YAML."""
OF_THE_STUDY = ("name", "runs", "seed")
"""Keys that the study itself sets in every run."""


class StudyBase(Section):
    """One base model of the study."""

    overrides: Overrides = Field(default_factory=dict)
    """What this base changes in the training config, such as `{base: {model: DIR}}`."""


class StudyArm(Section):
    """One arm: the training config with a few keys changed."""

    asks: str
    """What the arm is for, in a few words."""
    overrides: Overrides
    """What it changes in the training config; everything else is equal in all arms."""
    compute_matched_to: Part | None = None
    """Scales the steps so that the counted training compute is that arm's."""
    matched_as: Literal["as_trained", "two_passes"] = "as_trained"
    """Counts that arm as it is trained here, or as if its echo pass ran whole samples again, as the paper describes it."""


class Tuning(Section):
    """How each arm's learning rate is chosen on each base: the same grid for all, on validation rows only."""

    grid: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Learning rates to try; with one, nothing is tuned."""
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)] = (1000,)
    """Seeds of the tuning runs; none of the study's."""
    criterion: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    """Lowest plain-path loss on validation rows of the training files, or highest macro accuracy on `data`."""
    data: Place | None = None
    """Validation items for `validation_accuracy`, laid out as the suite's data; none may be a training or a test item."""
    steps_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of an arm's steps that its tuning runs take."""


class StudyEvaluation(Section):
    """The test items, the same for every run."""

    suite: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99}|.+\.ya?ml)$")]
    """Suite of the evaluator, or a suite file (.yaml)."""
    data: Place | None = None
    """Local data files; None takes the suite's own or the hub's."""
    limit: Positive | None = None
    """Only the first items of each task; None takes all."""
    backend: Literal["hf", "vllm"] = "hf"
    """What generates."""

    @property
    def suite_file(self) -> Path | None:
        """The suite file; None for a built-in suite."""
        return Path(self.suite) if self.suite.endswith((".yaml", ".yml")) else None

    @property
    def suite_name(self) -> str:
        """The suite's name, as reports have it.

        Raises:
            UserError: the suite file cannot be read.
        """
        return SuiteFile.from_yaml(self.suite_file).name if self.suite_file else self.suite

    def suite_inputs(self) -> tuple[Path, ...]:
        """The suite file and what it names: rows, examples, task files. Empty for a built-in suite.

        Raises:
            UserError: the suite file cannot be read.
        """
        if self.suite_file is None:
            return ()
        folder = Path(self.data) if self.data is not None else self.suite_file.parent
        named = [name for task in SuiteFile.from_yaml(self.suite_file).tasks.values() for name in _files_of(task)]
        return (self.suite_file, *(folder / name for name in dict.fromkeys(named)))


def _files_of(task: OwnTask | LmEvalTask) -> list[str]:
    if isinstance(task, LmEvalTask):
        return [task.lm_eval]
    return [task.data, *([task.shots.data] if task.shots else [])]


class Contrast(Section):
    """One planned comparison; its family is all contrasts on all bases."""

    candidate: Part
    """Arm."""
    baseline: Part
    """Arm it is held against."""
    asks: str
    """The question it answers."""
    margin: Share = 0.01
    """Differences of macro accuracy below this do not matter in practice: the bound of the equivalence test."""


class OpenEcho(Section):
    """From when on an echo counts as having been there, by the means over an arm's seeds of what every run measured of its
    own echo (EchoCheck)."""

    injection_to_output: Annotated[float, Field(gt=0)] = 0.05
    """Least ratio of the injected vectors to the outputs they are added to (root mean squares)."""
    distinct_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Least share of the echo that differs between samples."""


class Analysis(Section):
    """How the results will be tested, fixed before the first run."""

    outcome: Literal["macro_accuracy"] = "macro_accuracy"
    """Primary outcome: unweighted mean over tasks of the share of right test items, averaged over seeds."""
    contrasts: Annotated[dict[Part, Contrast], Field(min_length=1)]
    """The planned comparisons."""
    level: Share = 0.05
    """Family-wise error of the tests after Holm, and one minus the intervals' coverage."""
    draws: Annotated[int, Field(ge=200)] = 10_000
    """Bootstrap resamples."""
    detect: Share = 0.01
    """Difference that the study would like to be able to see; the report says which seeds and items that takes."""
    open_echo: OpenEcho | None = None
    """A contrast with an arm whose echo stays below these thresholds answers "not tested" where it would have said "no
    difference" or "inconclusive". None, as in studies registered before runs measured their echo, leaves the question open."""


class Precision(Section):
    """What is expected of the noise, to know the detectable difference before the study is paid for."""

    seed_deviation: PositiveFloat
    """Standard deviation between seeds of the paired difference of macro accuracy."""
    item_error: PositiveFloat
    """Standard error of that difference that comes from the choice of the test items alone."""
    source: str
    """Where the figures are from: a pilot's report, or an assumption."""


class Expense(Section):
    """What turns counted compute into hours, and stands in where data cannot be measured before the study."""

    flops_per_second: PositiveFloat
    """Sustained floating-point operations per second of one worker."""
    source: str
    """Where that figure is from."""
    tokens_per_sample: PositiveFloat | None = None
    """Mean tokens of a training sample, where the data are not here."""
    answer_tokens_per_sample: PositiveFloat | None = None
    """Of them, answer tokens."""


class Expectation(Section):
    """A published figure to see the study's own beside."""

    base: Part
    """Base."""
    arm: Part
    """Arm."""
    over: Part | None = None
    """Arm that the figure is a gain over; None where it is the arm's own accuracy."""
    macro: Annotated[float, Field(gt=-1, le=1)]
    """Macro accuracy, or the gain in it."""
    source: str
    """Who published it, and what was different there."""


class EarlierStudy(Section):
    """A study that asked the same before: a reader counts its looks with this one's."""

    study: Name
    """Its name."""
    plan: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12,64}$")]
    """Its protocol's hash, or the first twelve digits."""
    looks: Count
    """How often its results were looked at."""
    finding: str
    """What it said, in a few words."""


class StudyConfig(Document):
    """One study."""

    title: ClassVar[str] = "study config"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "analysis.contrasts.*", rename({"opponent": "baseline"}))}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    name: Name
    """Names the study."""
    directory: Place
    """Where plan, runs, report and page go."""
    config: Place
    """The training config (YAML) that all arms start from."""
    overrides: Overrides = Field(default_factory=dict)
    """What every run of the study changes in it."""
    bases: Annotated[dict[Part, StudyBase], Field(min_length=1)]
    """The base models."""
    arms: Annotated[dict[Part, StudyArm], Field(min_length=2)]
    """The arms, in the order of tables."""
    seeds: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Seeds of every arm; arms with equal seeds see the same data in the same order."""
    tuning: Tuning
    """How learning rates are chosen."""
    evaluation: StudyEvaluation
    """The test items."""
    analysis: Analysis
    """The planned tests."""
    precision: Precision | None = None
    """Expected noise; None says nothing about the detectable difference before the study."""
    expense: Expense | None = None
    """Expected speed; None estimates no hours."""
    expectations: tuple[Expectation, ...] = ()
    """Published figures."""
    history: tuple[EarlierStudy, ...] = ()
    """Every earlier study of the question, whatever it found."""

    @model_validator(mode="after")
    def _names_exist_and_seeds_stay_apart(self) -> Self:
        faults = [*self._unknown_arms(), *self._taken_keys()]
        if len(set(self.seeds)) != len(self.seeds):
            faults.append("a seed is named twice")
        if len(self.tuning.grid) > 1 and set(self.seeds) & set(self.tuning.seeds):
            faults.append(
                "tuning.seeds must not be among seeds: the rates would be chosen on the runs that are compared"
            )
        if self.tuning.criterion == "validation_accuracy" and self.tuning.data is None:
            faults.append("tuning.criterion validation_accuracy needs tuning.data")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _unknown_arms(self) -> list[str]:
        named = [
            (f"analysis.contrasts.{name}", arm)
            for name, contrast in self.analysis.contrasts.items()
            for arm in (contrast.candidate, contrast.baseline)
        ]
        named += [
            (f"arms.{name}.compute_matched_to", arm.compute_matched_to)
            for name, arm in self.arms.items()
            if arm.compute_matched_to
        ]
        named += [("expectations", arm) for one in self.expectations for arm in (one.arm, one.over) if arm]
        bases = [f"expectations names base {one.base}" for one in self.expectations if one.base not in self.bases]
        return [f"{where} names arm {arm}, which is not there" for where, arm in named if arm not in self.arms] + bases

    def _taken_keys(self) -> list[str]:
        parts = {
            "overrides": self.overrides,
            **{f"bases.{name}.overrides": base.overrides for name, base in self.bases.items()},
            **{f"arms.{name}.overrides": arm.overrides for name, arm in self.arms.items()},
        }
        taken = [f"{where} sets {key}, which the study sets" for where, keys in parts.items() for key in keys
                 if key in OF_THE_STUDY]  # fmt: skip
        matched = [name for name, arm in self.arms.items()
                   if arm.compute_matched_to and self.arms.get(arm.compute_matched_to, arm).compute_matched_to]  # fmt: skip
        return taken + [f"arms.{name} is matched to an arm that is itself matched" for name in matched]
