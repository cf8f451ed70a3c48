"""The answers that real families' templates make the model write, and the templates that would leave something out.

The templates here are ours, in the manner of the families named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.errors import UserError
from trainer.data.segments import chat_pieces

QWEN3 = (  # thoughts of earlier turns are cut off; an answer without one gets an empty one
    "{% if tools %}# Tools\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.role == 'assistant' %}{% set text = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.last %}<think>\n{{ m.reasoning_content or m.content.split('</think>')[0].split('<think>')[-1].strip('\n')"
    " if '</think>' in m.content else '' }}\n</think>\n\n{% endif %}{{ text }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
R1 = (  # the generation prompt opens a thought, and answered turns have theirs cut off
    "<s>{% for m in messages %}{% if m.role == 'user' %}<U>{{ m.content }}"
    "{% else %}<A>{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<A><think>\n{% endif %}"
)
MISTRAL = (  # no tools, no system turn of its own, no end-of-sequence between turns but after answers
    "<s>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }}</s>{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}<im_start>{{ m.role }}\n{{ m.content }}<im_end>\n{% endfor %}"
    "{% if add_generation_prompt %}<im_start>assistant\n{% endif %}"
)
U, A = {"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"}
U2, A2 = {"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\na1"}


@pytest.fixture
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


def pieces(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: list[dict[str, Any]], **row: Any
) -> list[list[str]]:
    """Prompt, answer, and so on in turn, of each text that the chat becomes."""
    tokenizer.chat_template = template
    return [[piece.text for piece in text] for text in chat_pieces({"messages": messages, **row}, tokenizer, "row 1")]


def rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], **more: Any) -> str:
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, **more)
    return text


@pytest.mark.parametrize("template", [MISTRAL, CHATML])
def test_a_template_that_only_appends_makes_one_text_which_is_its_own_rendering(
    tokenizer: PreTrainedTokenizerBase, template: str
) -> None:
    [text] = pieces(tokenizer, template, [U, A, U2, A2])
    assert len(text) == 4
    assert "".join(text) == rendered(tokenizer, [U, A, U2, A2])
    assert text[0] == rendered(tokenizer, [U], add_generation_prompt=True)


def test_a_template_that_rewrites_history_makes_a_text_of_each_answer_as_its_server_sees_it(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    texts = pieces(tokenizer, QWEN3, [U, THOUGHT, U2, A2])
    assert [answer for _, answer in texts] == ["<think>\nhm\n</think>\n\na1</s>\n", "<think>\n\n</think>\n\na2</s>\n"]
    assert texts[1][0] == rendered(tokenizer, [U, THOUGHT, U2], add_generation_prompt=True)
    assert "hm" not in texts[1][0]


@pytest.mark.parametrize(
    ("answer", "learned"),
    [
        (THOUGHT, "hm\n</think>\n\na1</s>"),
        (A, "\n</think>\n\na1</s>"),
        ({**A, "reasoning_content": "hm"}, "hm\n</think>\n\na1</s>"),
        ({**A, "content": "<think>hm</think>a1"}, "hm</think>a1</s>"),
    ],
)
def test_an_answer_goes_on_where_the_generation_prompt_opened_a_thought(
    tokenizer: PreTrainedTokenizerBase, answer: dict[str, Any], learned: str
) -> None:
    [[prompt, text]] = pieces(tokenizer, R1, [U, answer])
    assert (prompt, text) == ("<s><U>q1<A><think>\n", learned)


def test_later_turns_after_an_opened_thought_see_the_history_without_it(tokenizer: PreTrainedTokenizerBase) -> None:
    _, [prompt, text] = pieces(tokenizer, R1, [U, THOUGHT, U2, A2])
    assert (prompt, text) == ("<s><U>q1<A>\n\na1</s><U>q2<A><think>\n", "\n</think>\n\na2</s>")


def test_a_generation_prompt_that_begins_no_answered_turn_is_its_own_fault(tokenizer: PreTrainedTokenizerBase) -> None:
    template = CHATML.replace("<im_start>assistant\n{% endif %}", "<im_start>bot\n{% endif %}")
    with pytest.raises(UserError, match="in another way than a generation"):
        pieces(tokenizer, template, [U, A])


def test_answers_that_are_not_to_be_learned_are_part_of_the_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    [[prompt, answer]] = pieces(tokenizer, CHATML, [U, {**A, "weight": 0}, U2, A2])
    assert answer == "a2<im_end>\n"
    assert "a1<im_end>" in prompt
    assert pieces(tokenizer, CHATML, [U, {**A, "weight": 0}]) == []


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}


def test_tools_stand_in_the_prompt_and_calls_are_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    result = {"role": "tool", "content": "blue"}
    texts = pieces(tokenizer, QWEN3, [U, CALLING, result, A2], tools=[TOOL])
    assert all('"name": "weather"' in text[0] for text in texts)
    assert texts[0][1].endswith('<call>{"name": "weather", "arguments": {}}</call></s>\n')


@pytest.mark.parametrize(
    ("template", "messages", "row", "what"),
    [
        (CHATML, [U, A], {"tools": [TOOL]}, "the row's tools"),
        (CHATML, [U, {**CALLING, "content": "wait"}], {}, "tool_calls"),
        (CHATML, [U, {**A, "reasoning_content": "hm"}], {}, "reasoning_content"),
        (MISTRAL, [{"role": "system", "content": "be brief"}, U, A], {}, "role system"),
        (MISTRAL, [U, A, {"role": "tool", "content": "22"}, A2], {}, "role tool"),
    ],
)
def test_nothing_of_a_row_vanishes_in_silence(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: list[dict[str, Any]], row: dict[str, Any], what: str
) -> None:
    with pytest.raises(UserError, match=f"leaves .*{what}"):
        pieces(tokenizer, template, messages, **row)


def test_a_template_that_fails_names_the_row(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match=r"refuses a chat: .*has no attribute") as raised:
        pieces(tokenizer, "{% for m in messages %}{{ m.content.nothing() }}{% endfor %}", [U, A])
    assert raised.value.where == "row 1"


def test_a_template_with_a_clock_writes_the_same_text_tomorrow(tokenizer: PreTrainedTokenizerBase) -> None:
    [text] = pieces(tokenizer, "{{ strftime_now('%d %b %Y') }} " + CHATML, [U, A])
    assert text[0].startswith("26 Jul 2024")
