"""What an adopted adapter is recorded on: questions with its own answers, through the template that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.prompt import TemplateName
from tests.trainer.adopt.foreign_adapters import train_a_little
from trainer.adopt.probe_texts import QUESTIONS, probe_texts


@pytest.fixture(scope="module")
def adapted(tiny_base: Path) -> PeftModel:
    return train_a_little(tiny_base, {"target_modules": ["q_proj"]})


@pytest.fixture
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


@pytest.mark.parametrize(
    ("template", "begin"),
    [(None, "<s><|user|>\n"), ("chat", "<s><|user|>\n"), ("plain", "<s>What is"), ("question_answer", "<s>Question: ")],
)
def test_questions_are_asked_as_the_template_writes_them(
    adapted: PeftModel, tokenizer: PreTrainedTokenizerBase, template: TemplateName | None, begin: str
) -> None:
    texts = probe_texts(adapted, tokenizer, template, None, None)
    assert len(texts) == len(QUESTIONS)
    written = tokenizer.decode(texts[0].input_ids[: texts[0].boundary + 1])
    assert written.startswith(begin)
    assert "capital of France" in written


def test_the_answer_is_the_adapter_s_own(adapted: PeftModel, tokenizer: PreTrainedTokenizerBase) -> None:
    text = probe_texts(adapted, tokenizer, "plain", None, None)[0]
    with adapted.disable_adapter():
        bare = probe_texts(adapted, tokenizer, "plain", None, None)[0]
    assert text.input_ids[: text.boundary + 1] == bare.input_ids[: bare.boundary + 1]
    assert text.input_ids != bare.input_ids
