"""The prompt templates that the trainer and the evaluator must agree on to the byte.

`commonsense_170k` follows LLM-Adapters' published text (its finetune.py and commonsense_evaluate.py, Apache-2.0),
whose training and evaluation prompts differ by design in three places of white space.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

TemplateName = Literal["commonsense_170k", "question_answer", "plain", "chat"]
OWN = "own"
"""What manifests call the prompt of `data.prompt`."""

_PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
_INDENT = " " * 16


@dataclass(frozen=True)
class PromptTemplate:
    """How an instruction becomes a prompt. The answer follows the prompt without anything between."""

    name: TemplateName
    """The key in configs and manifests."""
    training: str
    """Text before the answer in training; `{instruction}` is replaced."""
    evaluation: str
    """Text before the generation in evaluation."""
    separator: str = ""
    """What precedes the answer in training, supervised with it."""

    def training_prompt(self, instruction: str) -> str:
        """The prompt of a training example."""
        return self.training.replace("{instruction}", instruction)

    def evaluation_prompt(self, instruction: str) -> str:
        """The prompt of an evaluation item."""
        return self.evaluation.replace("{instruction}", instruction)

    @property
    def jinja(self) -> str:
        """The evaluation prompt as a Jinja text over a record's `instruction` and `input`."""
        record = "{{ instruction }}{% if input is defined and input %}{{ '\\n' }}{{ input }}{% endif %}"
        return self.evaluation.replace("{instruction}", record)

    @property
    def sha256(self) -> str:
        """Identity of the template's text, recorded in manifests and reports."""
        return hashlib.sha256(
            "\0".join((self.name, self.training, self.evaluation, self.separator)).encode()
        ).hexdigest()


COMMONSENSE_170K = PromptTemplate(
    name="commonsense_170k",
    training=(
        f"{_PREAMBLE}  \n\n{_INDENT}### Instruction:\n{_INDENT}{{instruction}}\n{_INDENT}\n{_INDENT}### Response:\n{_INDENT}"
    ),
    # One trailing space in the first line, an empty line without indent: as published.
    evaluation=f"{_PREAMBLE} \n\n{_INDENT}### Instruction:\n{_INDENT}{{instruction}}\n\n{_INDENT}### Response:\n{_INDENT}",
)
# The zero-shot form of lm-eval's gsm8k task, so that GSM8K is trained as it is scored.
QUESTION_ANSWER = PromptTemplate(
    name="question_answer",
    training="Question: {instruction}\nAnswer:",
    evaluation="Question: {instruction}\nAnswer:",
    separator=" ",
)
PLAIN = PromptTemplate(name="plain", training="{instruction}", evaluation="{instruction}")
# Chat prompts are made by the tokenizer's own template; this entry only gives it a name and an identity.
CHAT = PromptTemplate(name="chat", training="", evaluation="")

TEMPLATES: dict[str, PromptTemplate] = {t.name: t for t in (COMMONSENSE_170K, QUESTION_ANSWER, PLAIN, CHAT)}
