from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import COMMONSENSE_170K
from schemas.training.train_config import DataConfig
from trainer.data.sources import LoadedSource
from trainer.data.tokenization import Example, Examples, make_examples


def learned(tokenizer: PreTrainedTokenizerBase, example: Example) -> str:
    """The text under the loss."""
    return "".join(tokenizer.decode([t]) for t, a in zip(example.input_ids, example.completion_mask, strict=True) if a)


PREFIX = {"instruction": "is the sky blue?", "input": ""}


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


def examples(tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], **data: Any) -> Examples:
    window = data.pop("window", None)
    config = DataConfig.model_validate({"train": [{"path": "x.json"}], **data})
    return make_examples([LoadedSource("x.json", rows, "0" * 64)], tokenizer, config, window=window, quiet=True)


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
        supervised = [
            token for token, is_answer in zip(example.input_ids, example.completion_mask, strict=True) if is_answer
        ]
        assert tokenizer.decode(supervised[:-1]) == record["output"]
        assert supervised[-1] == tokenizer.eos_token_id
        assert example.completion_mask.index(True) == example.boundary + 1


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
    assert learned(tokenizer, example) == "yes</s>\nalso</s>\n"
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


def test_a_base_without_chat_template_is_refused(tiny_base: Path) -> None:
    bare = AutoTokenizer.from_pretrained(tiny_base)
    bare.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        examples(bare, [{"messages": CHAT}], format="messages")


@pytest.mark.parametrize("answer", ["write </s> to stop", "</s></s> ends", "ends in </s>"])
def test_an_answer_that_speaks_of_the_end_of_sequence_still_ends_with_it(
    tokenizer: PreTrainedTokenizerBase, answer: str
) -> None:
    [record] = examples(tokenizer, [{**PREFIX, "output": answer}]).kept
    assert record.input_ids[-1] == tokenizer.eos_token_id
    unclosed = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    unclosed.chat_template = tokenizer.chat_template.replace("eos_token if", "'.' if")
    chat = [CHAT[0], {"role": "assistant", "content": answer}]
    [example] = examples(unclosed, [{"messages": chat}], format="messages").kept
    assert example.input_ids[-1] == tokenizer.eos_token_id


def test_a_turn_that_its_template_closes_gets_no_second_end(tokenizer: PreTrainedTokenizerBase) -> None:
    chat = [CHAT[0], {"role": "assistant", "content": "say </s> twice"}]
    [example] = examples(tokenizer, [{"messages": chat}], format="messages").kept
    assert learned(tokenizer, example) == "say </s> twice</s>\n"


def test_a_prompt_without_a_token_is_dropped_and_counted(tiny_base: Path) -> None:
    """As Qwen's and SmolLM's tokenizers, which begin no text with a token of their own."""
    bare = AutoTokenizer.from_pretrained(tiny_base)
    bare.backend_tokenizer.post_processor = None
    rows = [{"instruction": "", "output": "true"}, {"instruction": "is it?", "output": "true"}]
    assert examples(bare, rows, template="plain").dropped == {"prompt_empty": 1}
    with pytest.raises(UserError, match="prompt_empty: 1") as raised:
        examples(bare, rows[:1], template="plain")
    assert "instruction" in str(raised.value.fix)


def test_what_is_longer_than_the_bases_window_is_dropped_and_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [{"instruction": "long " * 300, "output": "true"}, {**PREFIX, "output": "true"}]
    assert examples(tokenizer, rows, max_length=4096, window=512).dropped == {"prompt_too_long": 1}
    with pytest.raises(UserError, match="no training example") as raised:
        examples(tokenizer, rows[:1], max_length=4096, window=512)
    assert "window is 512 tokens" in str(raised.value.fix)


def test_a_chat_without_anything_to_learn_is_dropped_and_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    silent = [CHAT[0], {**CHAT[1], "weight": 0}]
    result = examples(tokenizer, [{"messages": CHAT}, {"messages": silent}], format="messages")
    assert (len(result.kept), result.dropped) == (1, {"nothing_learned": 1})
