from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import COMMONSENSE_170K
from schemas.training.train_config import DataConfig
from trainer.data.sources import LoadedSource
from trainer.data.tokenization import Examples, make_examples

PREFIX = {"instruction": "is the sky blue?", "input": ""}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


def examples(tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], **data: Any) -> Examples:
    config = DataConfig.model_validate({"train": [{"path": "x.json"}], **data})
    return make_examples([LoadedSource("x.json", rows, "0" * 64)], tokenizer, config, quiet=True)


def test_the_prompt_ids_are_those_that_generation_starts_from(tokenizer: PreTrainedTokenizerBase) -> None:
    """The prompt ends in sixteen spaces, and this tokenizer would draw the last into the answer's first word."""
    prompt = COMMONSENSE_170K.training_prompt(PREFIX["instruction"])
    joint = tokenizer(prompt + "the answer")["input_ids"]
    alone = tokenizer(prompt)["input_ids"]
    assert joint[: len(alone)] != alone
    [example] = examples(tokenizer, [{**PREFIX, "output": "the answer"}]).kept
    assert list(example.input_ids[: example.boundary + 1]) == alone


@pytest.mark.parametrize("template", ["commonsense_170k", "question_answer", "plain"])
@pytest.mark.parametrize("answer", ["true", "42", " (b)", "\nyes", "é", "even"])
def test_changing_the_answer_changes_neither_prompt_ids_nor_boundary(
    tokenizer: PreTrainedTokenizerBase, template: str, answer: str
) -> None:
    one, other = examples(
        tokenizer,
        [{**PREFIX, "output": "the correct answer is false"}, {**PREFIX, "output": answer}],
        template=template,
    ).kept
    assert one.boundary == other.boundary
    assert one.input_ids[: one.boundary + 1] == other.input_ids[: other.boundary + 1]


def test_the_supervised_span_is_the_answer_and_its_end(
    tokenizer: PreTrainedTokenizerBase, records: list[dict[str, str]]
) -> None:
    for example, record in zip(examples(tokenizer, list(records)).kept, records, strict=True):
        supervised = [token for token, is_answer in zip(example.input_ids, example.answers, strict=True) if is_answer]
        assert tokenizer.decode(supervised[:-1]) == record["output"]
        assert supervised[-1] == tokenizer.eos_token_id
        assert example.answers.index(True) == example.boundary + 1


def test_joint_tokenisation_is_kept_where_the_boundary_allows(tokenizer: PreTrainedTokenizerBase) -> None:
    [example] = examples(tokenizer, [{**PREFIX, "output": "true"}], template="question_answer").kept
    joint = tokenizer("Question: is the sky blue?\nAnswer: true")["input_ids"]
    assert list(example.input_ids) == [*joint, tokenizer.eos_token_id]


def test_what_does_not_fit_is_dropped_and_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [
        {**PREFIX, "output": "true"},
        {**PREFIX, "output": "  "},
        {**PREFIX, "output": "true " * 100},
        {"instruction": "long " * 200, "output": "true"},
    ]
    result = examples(tokenizer, rows, max_length=200)
    assert len(result.kept) == 1
    assert result.dropped == {"answer_empty": 1, "answer_cut": 1, "prompt_too_long": 1}


def test_extra_input_joins_the_instruction(tokenizer: PreTrainedTokenizerBase) -> None:
    [example] = examples(tokenizer, [{"instruction": "add", "input": "1 and 2", "output": "3"}]).kept
    assert "add\n1 and 2" in tokenizer.decode(example.input_ids)


def test_no_example_left_is_an_error(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match="no training example is left"):
        examples(tokenizer, [{**PREFIX, "output": ""}])


@pytest.mark.parametrize("row", [PREFIX, {**PREFIX, "output": None}, {**PREFIX, "output": 3}, {"output": "true"}])
def test_a_record_without_answer_or_instruction_is_named(
    tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as raised:
        examples(tokenizer, [{**PREFIX, "output": "true"}, row])
    assert str(raised.value.where).endswith("row 2")


CHAT = [
    {"role": "user", "content": "is the sky blue?"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "and the sea?"},
    {"role": "assistant", "content": "also"},
]


def test_each_assistant_turn_of_a_chat_is_supervised(tokenizer: PreTrainedTokenizerBase) -> None:
    [example] = examples(tokenizer, [{"messages": CHAT}], format="messages").kept
    text = "".join(tokenizer.decode([t]) for t, a in zip(example.input_ids, example.answers, strict=True) if a)
    assert text == "yes</s>\nalso</s>\n"
    assert tokenizer.decode(example.input_ids[: example.boundary + 1]).endswith("<|assistant|>\n")
    assert list(example.input_ids) == tokenizer.apply_chat_template(CHAT, tokenize=True)["input_ids"]


def test_turns_after_the_last_answer_are_left_out(tokenizer: PreTrainedTokenizerBase) -> None:
    one, other = examples(tokenizer, [{"messages": CHAT[:2]}, {"messages": CHAT[:3]}], format="messages").kept
    assert one == other


def test_a_chat_with_an_empty_answer_is_dropped(tokenizer: PreTrainedTokenizerBase) -> None:
    empty = [CHAT[0], {"role": "assistant", "content": " "}]
    assert examples(tokenizer, [{"messages": CHAT}, {"messages": empty}], format="messages").dropped == {
        "answer_empty": 1
    }


@pytest.mark.parametrize("messages", [None, [], CHAT[:1], CHAT[1:], [{"role": "user"}]])
def test_what_is_no_chat_is_refused(tokenizer: PreTrainedTokenizerBase, messages: Any) -> None:
    with pytest.raises(UserError, match=r"chat|message"):
        examples(tokenizer, [{"messages": messages}], format="messages")


def test_a_template_that_rewrites_history_is_refused(tokenizer: PreTrainedTokenizerBase, tiny_base: Path) -> None:
    rewriting = AutoTokenizer.from_pretrained(tiny_base)
    rewriting.chat_template = "{% for m in messages[-2:] %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(UserError, match="rewrites earlier turns"):
        examples(rewriting, [{"messages": CHAT}], format="messages")


def test_a_base_without_chat_template_is_refused(tiny_base: Path) -> None:
    bare = AutoTokenizer.from_pretrained(tiny_base)
    bare.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        examples(bare, [{"messages": CHAT}], format="messages")
