"""EvalReport: the scores of one adapter on one suite, with its base as a control, and the lines of samples.jsonl."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.document import Count, Document, Fraction, Section, Sha256
from schemas.training.train_config import Name, Positive

Arm = Literal["adapter", "base"]
Outcome = Literal["correct", "wrong", "unparsed", "unscored"]


class Interval(Section):
    """A two-sided interval."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: Fraction = 0.95
    """Nominal coverage."""


class TaskScore(Section):
    """One task, one arm. The four counts add up to `total`."""

    metric: str
    """Name of the primary metric, such as `accuracy`, `exact_match` or `pass@1`."""
    total: Positive
    """Items given to the model."""
    correct: Count
    """Items answered rightly."""
    wrong: Count
    """Items with a readable answer that is not the right one."""
    unparsed: Count
    """Items whose output held no readable answer; they count as not right."""
    unscored: Count
    """Items without a score (a failed request, a sandbox fault); any makes the task's score incomplete."""
    score: Fraction
    """correct / total."""
    standard_error: float
    """Binomial standard error of the score."""
    interval: Interval
    """Wilson interval of the score."""
    secondary: dict[str, Fraction] = Field(default_factory=dict)
    """Further scores of the same answers, such as `exact_match,flexible-extract`, `acc_norm` or `pass@10`."""

    @model_validator(mode="after")
    def _counts_add_up(self) -> Self:
        if self.correct + self.wrong + self.unparsed + self.unscored != self.total:
            raise ValueError("correct + wrong + unparsed + unscored is not total")
        return self


class TaskRecord(Section):
    """One task: what was asked, and how each arm did."""

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
    arms: dict[Arm, TaskScore]
    """Scores by arm."""


class AdapterReference(Section):
    """Which adapter was scored."""

    name: Name
    """The run's name."""
    method: str
    """Training method."""
    manifest_sha256: Sha256
    """Hash of its manifest.json."""


class BaseReference(Section):
    """Which base model was scored, and under the adapter."""

    name: str
    """Directory or hub repository."""
    revision: str | None
    """Hub commit; None for a directory."""
    config_sha256: Sha256
    """Fingerprint of its configuration."""
    weights_sha256: Sha256
    """Fingerprint of its weights."""


class EvalReport(Document):
    """The scores of one run on one suite. `samples.jsonl` beside it holds every item."""

    title: ClassVar[str] = "evaluation report"

    schema_version: Literal["1"] = "1"
    """Version of this schema."""
    suite: Name
    """Name of the suite."""
    protocol: str
    """How answers were generated and read, such as `greedy` or `beam4`, with every deviation from a published protocol."""
    notes: tuple[str, ...] = ()
    """What sets this backend's answers apart without changing what was asked, such as a DoRA adapter served merged."""
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
    macro: dict[Arm, Fraction]
    """Unweighted mean of the tasks' scores, by arm."""
    samples_sha256: Sha256
    """Hash of samples.jsonl."""
    seconds: float
    """Wall time of scoring."""
    versions: dict[str, str]
    """Versions of Python and of the packages that shaped the result."""


class Sample(Section):
    """One line of samples.jsonl: one item, one arm."""

    task: str
    """lm-eval task name."""
    document: Count
    """Index of the item in the task's split."""
    attempt: Count = 0
    """Which of several sampled answers to the item (pass@k); 0 where there is one."""
    arm: Arm
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
    cluster: str | None = None
    """Items that share a passage or subject, for clustered intervals; None where each item stands alone."""
