"""Every conversation is, token for token, what transformers itself renders: the prompt that a server sends, then the answer."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.training.train_config import DataConfig
from tests.trainer.data.chat_templates import TEMPLATES, WITH_TOOLS
from trainer.data.sources import LoadedSource
from trainer.data.tokenization import Example, make_examples

FORMATS = Path(os.environ.get("BENCHMARK_DATA", Path(__file__).parents[4] / "shared" / "data")) / "formats"
DATA = DataConfig.model_validate({"train": ["chats.json"], "format": "messages", "max_length": 100_000})
SYSTEM = {"role": "system", "content": "Be brief."}
ASK, SAY = {"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "It is 4."}
MORE, SAID = {"role": "user", "content": " And 3 + 3? "}, {"role": "assistant", "content": "6, of course.\n"}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}],
}
RESULT = {"role": "tool", "content": '{"sum": 4}'}
CHATS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {
    "one turn": ([ASK, SAY], None),
    "two turns": ([ASK, SAY, MORE, SAID], None),
    "with a system turn": ([SYSTEM, ASK, SAY, MORE, SAID], None),
    "with tools": ([ASK, CALL, RESULT, SAY, MORE, CALL, RESULT, SAID], [TOOL]),
    "with tools and a system turn": ([SYSTEM, ASK, CALL, RESULT, SAY], [TOOL]),
}
CASES = [(t, c) for t in TEMPLATES for c, (_, tools) in CHATS.items() if not tools or t in WITH_TOOLS]


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


def examples(tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> list[Example]:
    return make_examples([LoadedSource("chats.json", [row], "")], tokenizer, DATA, quiet=True).kept


def answers(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str]]:
    """Of each answer the text before it and its own, from the ids and the mask that are trained on."""
    ids, mask, found, start = example.input_ids, example.completion_mask, [], None
    for position, learned in enumerate((*mask, False)):
        if learned and start is None:
            start = position
        if not learned and start is not None:
            found.append((tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:position])))
            start = None
    return found


def require_as_rendered(
    tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], messages: list[dict[str, Any]], tools: Any
) -> int:
    """Holds every answer of a row against transformers' own rendering of the chat up to there; returns how many."""

    def render(upto: int, *, ask: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            messages[:upto],
            tools=tools,
            tokenize=False,
            add_generation_prompt=ask,
            strftime_now=datetime(2024, 7, 26).strftime,
        )
        return text

    turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    found = [pair for example in examples(tokenizer, row) for pair in answers(example, tokenizer)]
    assert len(found) == len(turns)
    for number, (prompt, answer) in zip(turns, found, strict=True):
        assert prompt == render(number, ask=True)
        assert (prompt + answer).removesuffix("</s>") == render(number + 1, ask=False).removesuffix("</s>")
    return len(found)


@pytest.mark.parametrize(("template", "chat"), CASES)
def test_a_chat_is_learned_as_it_is_rendered(tokenizer: PreTrainedTokenizerBase, template: str, chat: str) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    messages, tools = CHATS[chat]
    row = {"messages": messages, **({"tools": tools} if tools else {})}
    assert require_as_rendered(tokenizer, row, messages, tools) == sum(m["role"] == "assistant" for m in messages)


def as_openai(turn: dict[str, str]) -> dict[str, Any]:
    """A turn of ShareGPT's, in OpenAI's form."""
    role = {"human": "user", "gpt": "assistant", "observation": "tool", "function_call": "assistant"}[turn["from"]]
    if turn["from"] != "function_call":
        return {"role": role, "content": turn["value"]}
    return {"role": role, "content": "", "tool_calls": [{"type": "function", "function": json.loads(turn["value"])}]}


@pytest.mark.parametrize("template", WITH_TOOLS)
def test_real_tool_calls_are_learned_as_they_are_rendered(tokenizer: PreTrainedTokenizerBase, template: str) -> None:
    if not FORMATS.is_dir():
        pytest.skip(f"no rows of other tools at {FORMATS}; set BENCHMARK_DATA")
    tokenizer.chat_template, learned = TEMPLATES[template], 0
    for row in json.loads((FORMATS / "sharegpt_tool_calls.json").read_text())[:30]:
        tools = json.loads(row["tools"]) if row.get("tools") else None
        envelopes = [{"type": "function", "function": tool} for tool in tools] if tools else None
        learned += require_as_rendered(tokenizer, row, [as_openai(turn) for turn in row["conversations"]], envelopes)
    assert learned > 60


def test_real_preference_pairs_are_refused_by_name(tokenizer: PreTrainedTokenizerBase) -> None:
    if not FORMATS.is_dir():
        pytest.skip(f"no rows of other tools at {FORMATS}; set BENCHMARK_DATA")
    row = json.loads((FORMATS / "sharegpt_preference.json").read_text())[0]
    with pytest.raises(Exception, match="preference pairs"):
        examples(tokenizer, row)
