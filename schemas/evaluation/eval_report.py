"""EvalReport: the scores of one adapter on one suite, with its base as a control, and the lines of samples.jsonl."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.base.base_model import BaseIdentity
from schemas.document import Count, Document, Fraction, Positive, Section, Sha256
from schemas.training.train_config import Name
from schemas.upgrade import change_at, rename

Variant = Literal["adapter", "base"]
"""Who answers: the base model with the adapter, or alone as the control."""
Outcome = Literal["correct", "partial", "wrong", "unparsed", "unscored"]
"""How an item counts: 1, its `score`, 0, 0, not at all."""
_VARIANT = rename({"arms": "variants"})


class Interval(Section):
    """A two-sided interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: Fraction = 0.95
    """Nominal coverage."""


class TaskScore(Section):
    """One task, one variant. The counts of the five outcomes add up to `total`."""

    metric: str
    """Name of the primary metric, such as `accuracy`, `exact_match` or `pass@1`."""
    total: Positive
    """Items given to the model."""
    correct: Count
    """Items answered rightly."""
    partial: Count = 0
    """Items with a score between 0 and 1, in metrics that have such scores, as F1 has."""
    wrong: Count
    """Items whose answer was read and is not the right one."""
    unparsed: Count
    """Items out of whose output no answer could be read; they count as not right."""
    unscored: Count
    """Items without a score (a failed request, a sandbox fault); any makes the task's score incomplete."""
    score: Fraction
    """Mean score of the items: correct / total where no item is partial."""
    standard_error: float
    """Of the score: binomial where no item is partial, else from the items' spread."""
    interval: Interval
    """Of the score: Wilson's where no item is partial, else by bootstrap."""
    secondary: dict[str, Fraction] = Field(default_factory=dict)
    """Further scores of the same answers, such as `exact_match,flexible-extract`, `acc_norm` or `pass@10`."""

    @model_validator(mode="after")
    def _counts_add_up(self) -> Self:
        if self.correct + self.partial + self.wrong + self.unparsed + self.unscored != self.total:
            raise ValueError("correct + partial + wrong + unparsed + unscored is not total")
        return self


class TaskRecord(Section):
    """One task: what was asked, and how each variant did."""

    version: str
    """Version of the task definition."""
    floor: Fraction | None
    """Score of always giving the most frequent answer; None where answers are free text."""
    documents_sha256: Sha256
    """Hash over the items, in order."""
    prompts_sha256: Sha256
    """Hash over the prompts as sent, in order."""
    generation_sha256: Sha256
    """Hash over the generation settings and the task definition."""
    judges: tuple[str, ...] = ()
    """Who judged the answers, as the API named the model; several where it changed under one name. Empty without a judge."""
    variants: dict[Variant, TaskScore]
    """Scores by variant."""


class AdapterReference(Section):
    """Which adapter was scored."""

    name: Name
    """The run's name."""
    method: str
    """Training method."""
    manifest_sha256: Sha256
    """Hash of its manifest.json."""


class BaseReference(BaseIdentity):
    """Which base model was scored, and under the adapter."""

    name: str
    """Directory or hub repository."""
    revision: str | None
    """Hub commit; None for a directory."""


class EvalReport(Document):
    """The scores of one run on one suite. `samples.jsonl` beside it holds every item."""

    title: ClassVar[str] = "evaluation report"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "tasks.*", _VARIANT)}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    suite: Name
    """Name of the suite."""
    protocol: str
    """How answers were generated and read, such as `greedy` or `beam4`, with every deviation from a published protocol."""
    notes: tuple[str, ...] = ()
    """What sets this backend's answers apart without changing what was asked, such as a DoRA adapter served merged."""
    prompt_differences: tuple[str, ...] | None = None
    """In which words the tasks ask other than the adapter was trained with; empty where in none. None: no adapter, a training
    of which nothing is known, or a report of a release that did not look."""
    created: AwareDatetime
    """When scoring ended."""
    backend: Literal["hf", "vllm", "endpoint"]
    """What generated the answers."""
    dtype: str
    """Type of the weights while scoring."""
    base: BaseReference
    """The base model."""
    adapter: AdapterReference | None
    """The adapter; None where only the base was scored."""
    limit: Positive | None
    """Items taken per task; None is all of them."""
    seed: Count
    """Seed of sampling tasks; greedy tasks do not depend on it."""
    tasks: Annotated[dict[str, TaskRecord], Field(min_length=1)]
    """By lm-eval task name."""
    macro: dict[Variant, Fraction]
    """Unweighted mean of the tasks' scores, by variant."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Tasks that belong together, by the group's name, where the suite has groups."""
    samples_sha256: Sha256
    """Hash of samples.jsonl."""
    seconds: float
    """Wall time of scoring."""
    versions: dict[str, str]
    """Versions of Python and of the packages that shaped the result."""

    @model_validator(mode="after")
    def _groups_are_of_its_tasks(self) -> Self:
        for name, members in self.groups.items():
            if not members or not set(members) <= self.tasks.keys():
                raise ValueError(f"the group {name} is not of tasks that are here")
        return self


class Sample(Section):
    """One line of samples.jsonl: one item, one variant."""

    task: str
    """lm-eval task name."""
    document: Count
    """Index of the item in the task's split."""
    attempt: Count = 0
    """Which of several sampled answers to the item (pass@k); 0 where there is one."""
    variant: Variant
    """Who answered."""
    prompt: str
    """The prompt as sent."""
    target: str
    """The right answer."""
    output: str
    """What the model wrote; for ranked choices, the chosen one."""
    parsed: str | None
    """The answer read from the output; None where none could be read."""
    outcome: Outcome
    """How it counts."""
    score: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Score of a partial answer; None for every other outcome, which says its own."""
    cluster: str | None = None
    """Items that share a passage or subject, for clustered intervals; None where each item stands alone."""
    judgement: str | None = None
    """What the judge said; None where none was asked."""

    @model_validator(mode="before")
    @classmethod
    def _in_todays_words(cls, data: Any) -> Any:
        """Lines carry no version; until reports' version 2, `variant` was called `arm`."""
        return rename({"arm": "variant"})(data)

    @model_validator(mode="after")
    def _partial_answers_have_a_score(self) -> Self:
        if (self.outcome == "partial") != (self.score is not None):
            raise ValueError("a partial answer has a score, and no other does")
        return self

    @property
    def value(self) -> float:
        """What the item adds to its task's score: 0 to 1, an unscored one 0."""
        return self.score if self.score is not None else float(self.outcome == "correct")
