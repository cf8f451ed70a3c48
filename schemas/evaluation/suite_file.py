"""SuiteFile: a suite of one's own. Written by people, in YAML: the items, the prompt, how the answer is read and counts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from schemas.document import Document, Positive, Section
from schemas.storage.yaml_files import read_yaml
from schemas.training.train_config import Name

Template = Annotated[str, StringConstraints(min_length=1)]
"""Jinja text over the fields of a row, such as `{{ question }}`; an undefined variable is an error."""
Tolerance = Annotated[float, Field(ge=0.0)]
TaskName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")]


class Message(Section):
    """One turn of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: Template
    """What is said."""


class Shots(Section):
    """Examples in the prompt: the first rows of a file, each with its target."""

    data: str
    """JSONL, JSON, CSV or Parquet file, relative to the suite file; none of its rows should be scored."""
    count: Positive
    """How many rows."""
    separator: str = "\n\n"
    """Between an example and what follows; chat prompts have turns instead."""


class WholeAnswer(Section):
    """The whole text, white space at its ends aside."""

    kind: Literal["whole"] = "whole"
    """Tells this way of reading from the others."""


class RegexAnswer(Section):
    """What a regular expression finds."""

    kind: Literal["regex"]
    """Tells this way of reading from the others."""
    pattern: str
    """Python regular expression, searched in the text."""
    group: Annotated[int, Field(ge=0)] | None = None
    """Group that is the answer; None takes the first group, or the whole match where there is none."""
    last: bool = False
    """Takes the last match instead of the first."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is no regular expression: {error}") from None
        if self.group is not None and self.group > groups:
            raise ValueError(f"pattern {self.pattern!r} has {groups} groups, group {self.group} is asked for")
        return self


class AfterMarker(Section):
    """What follows the last occurrence of a marker, to the end of its line."""

    kind: Literal["after"]
    """Tells this way of reading from the others."""
    marker: Annotated[str, StringConstraints(min_length=1)]
    """Such as `####`."""


class JsonField(Section):
    """A field of the first JSON object in the text."""

    kind: Literal["json_field"]
    """Tells this way of reading from the others."""
    field: str | None = None
    """Path with dots, such as `result.city`; None takes the whole value."""


class NumberAnswer(Section):
    """The last number in the text; it is right where it lies within a tolerance of the target."""

    kind: Literal["number"]
    """Tells this way of reading from the others."""
    tolerance: Tolerance = 0.0
    """Largest absolute difference that counts as right."""
    relative: Tolerance = 0.0
    """Or the largest difference as a share of the target."""


class ChoiceAnswer(Section):
    """Nothing is generated: the option whose text has the highest log-likelihood after the prompt is the answer."""

    kind: Literal["choice"]
    """Tells this way of reading from the others."""
    options: Annotated[tuple[Template, ...], Field(min_length=2)] | Annotated[str, Field(min_length=1)]
    """The options' texts, or the name of the field that holds a list of them. The target must be one of them."""
    prefix: str = " "
    """Stands before each option."""


Answer = Annotated[
    WholeAnswer | RegexAnswer | AfterMarker | JsonField | NumberAnswer | ChoiceAnswer, Field(discriminator="kind")
]


class ExactMatch(Section):
    """1 where the answer is the target, else 0."""

    kind: Literal["exact_match"] = "exact_match"
    """Tells this way of counting from the others."""
    ignore_case: bool = False
    """Whether `Paris` and `paris` are the same."""


class AnyOf(Section):
    """1 where the answer is one of the accepted ones, else 0."""

    kind: Literal["any_of"]
    """Tells this way of counting from the others."""
    accepted: str
    """Name of the field that holds the list of accepted answers, the target beside them."""
    ignore_case: bool = False
    """Whether `Paris` and `paris` are the same."""


class TextOverlap(Section):
    """How much the answer shares with the target, 0 to 1."""

    kind: Literal["f1", "rouge_l", "chrf"]
    """F1 of the words (as SQuAD counts: lower case, without articles and punctuation), ROUGE-L, or chrF."""


class ChoiceProbability(Section):
    """For an answer of kind `choice`: the probability of the right option among the options, where exact_match has 1 or 0.

    It moves with every change of the model, so a difference shows with far fewer items and seeds; accuracy stands beside it.
    """

    kind: Literal["probability"]
    """Tells this way of counting from the others."""


class JsonMatch(Section):
    """How the answer's JSON value agrees with the target's, whatever its spacing and order of keys."""

    kind: Literal["json_equal", "json_fields"]
    """`json_equal`: 1 where they are the same. `json_fields`: F1 of their fields, each right or wrong."""


class UnitTest(Section):
    """1 where the answer, run in the isolating sandbox, passes the test."""

    kind: Literal["unit_test"]
    """Tells this way of counting from the others."""
    test: Template
    """Python source that defines `check(candidate)`, as HumanEval's tests do."""
    entry_point: Template
    """Name of the function under test."""
    before: str = ""
    """Source before the answer, as a template: imports, or the beginning of the function where the answer goes on from it."""


class Judged(Section):
    """What a judge says, 0 to 1: a grade on the rubric's scale, or whether the answer is better than the target."""

    kind: Literal["judge"]
    """Tells this way of counting from the others."""
    rubric: Template
    """What makes an answer good, as a template; it stands before the question and the answer in what the judge is asked."""
    pairs: bool = False
    """Compares the answer with the target, asked twice with the two in either place: better counts 1, a tie 0.5. Off: grades."""
    lowest: int = 1
    """The worst grade, which counts 0."""
    highest: int = 5
    """The best grade, which counts 1."""

    @model_validator(mode="after")
    def _has_a_scale(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"a scale from {self.lowest} to {self.highest} tells no answers apart")
        return self


Counts = Annotated[
    ExactMatch | AnyOf | TextOverlap | ChoiceProbability | JsonMatch | UnitTest | Judged, Field(discriminator="kind")
]


class OwnTask(Section):
    """One task: rows of a file, asked one by one."""

    data: str
    """JSONL, JSON (a list), CSV or Parquet file, relative to the suite file."""
    prompt: Template | None = None
    """The prompt as text, sent as it is."""
    messages: Annotated[tuple[Message, ...], Field(min_length=1)] | None = None
    """The prompt as a chat, through the base's chat template."""
    as_trained: bool = False
    """The prompt that the adapter was trained with (`data.prompt`, or its template's), over the row's fields. Give one of
    `prompt`, `messages` and this."""
    shots: Shots | None = None
    """Examples before the question; None asks without any."""
    target: Template | None = None
    """The right answer. Only a judge who grades can do without; one who has it sees it as the reference."""
    target_prefix: str = " "
    """Stands between prompt and target in the examples."""
    answer: Answer = WholeAnswer()
    """How the answer is read from the text."""
    counts: Counts = ExactMatch()
    """How the answer counts."""
    group_by: str | None = None
    """Field whose equal values make items one cluster, such as a passage or a customer: intervals resample clusters."""
    floor: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["majority"] | None = None
    """Score of someone who knows nothing: a number, or that of always giving the most frequent target; None has none."""
    max_new_tokens: Positive = 128
    """Tokens that an answer may take."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; the end-of-sequence token always does."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if (self.prompt is not None) + (self.messages is not None) + self.as_trained != 1:
            faults.append("give either `prompt` or `messages`, or say `as_trained: true`")
        if self.messages and self.messages[-1].role != "user":
            faults.append("the last message is the user's: the model answers it")
        if self.answer.kind == "number" and self.counts.kind != "exact_match":
            faults.append("an answer of kind number is right or wrong: leave `counts` out")
        if self.answer.kind == "choice" and self.counts.kind not in ("exact_match", "probability"):
            faults.append(
                "an answer of kind choice is right or wrong, or counts as its probability: leave `counts` out"
            )
        if self.counts.kind == "probability" and self.answer.kind != "choice":
            faults.append("`counts` of kind probability is for an answer of kind choice")
        graded = isinstance(self.counts, Judged) and not self.counts.pairs
        if self.target is None and (not graded or self.shots is not None):
            faults.append("give the `target`; only answers that a judge grades, without `shots`, can do without")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class LmEvalTask(Section):
    """A task of lm-eval's, by its YAML file."""

    lm_eval: str
    """The task's YAML file, relative to the suite file. Its `!function` entries are run, so trust it as you trust code."""
    metric: str | None = None
    """Which of its metrics counts, from 0 to 1 per item; None takes its first."""
    filter: str | None = None
    """Which of its filters reads the answer; None takes its first."""


def _kind_of(task: Any) -> str:
    return "lm_eval" if isinstance(task, LmEvalTask) or (isinstance(task, dict) and "lm_eval" in task) else "own"


Task = Annotated[
    Annotated[OwnTask, Tag("own")] | Annotated[LmEvalTask, Tag("lm_eval")], Discriminator(_kind_of)
]  # one of them, so that an error names the fields of what was meant


class Judge(Section):
    """Who judges: a model behind an OpenAI-compatible API."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
    """Address of the API, such as `https://api.openai.com/v1`."""
    model: Annotated[str, StringConstraints(min_length=1)]
    """Name of the model there. Reports record the name that the API gives back, which may be more exact."""
    max_new_tokens: Positive = 512
    """Tokens that a judgement may take."""


class SuiteFile(Document):
    """A suite of one's own."""

    title: ClassVar[str] = "suite file"

    schema_version: Literal["1"] = "1"
    """Version of this schema."""
    name: Name
    """Names the suite in reports, policies and tables."""
    description: str = ""
    """What it measures; a report's `protocol` begins with it."""
    tasks: Annotated[dict[TaskName, Task], Field(min_length=1)]
    """By name. The suite's score is the unweighted mean of theirs."""
    judge: Judge | None = None
    """Who judges the tasks that count so."""
    groups: dict[TaskName, Annotated[tuple[TaskName, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Tasks that belong together, by the group's name; each group has a mean of its own beside the suite's."""

    @model_validator(mode="after")
    def _groups_are_of_tasks(self) -> Self:
        for name, members in self.groups.items():
            if name in self.tasks or name == "macro":
                raise ValueError(
                    f"groups.{name} is called like {'a task' if name in self.tasks else 'the average of all'}"
                )
            unknown = [task for task in members if task not in self.tasks]
            if unknown or len(set(members)) != len(members):
                found = f"names the task {unknown[0]}, which is not there" if unknown else "names a task twice"
                raise ValueError(f"groups.{name} {found}")
        return self

    @model_validator(mode="after")
    def _judged_tasks_have_a_judge(self) -> Self:
        judged = [name for name, task in self.tasks.items() if isinstance(getattr(task, "counts", None), Judged)]
        if judged and self.judge is None:
            raise ValueError(
                f"tasks.{judged[0]} counts by a judge, and the suite names none: give `judge` its url and model"
            )
        if self.judge is not None and not judged:
            raise ValueError("`judge` is given, and no task counts by it")
        return self

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Reads and validates a suite file.

        Raises:
            UserError: the file is missing, is not YAML, names a key twice, or does not fit the schema.
        """
        return cls.parse(read_yaml(path, cls.title), where=path)
