"""Splits a record or a chat into its text pieces: prompt, answer, and so on in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import TEMPLATES
from schemas.training.train_config import DataConfig
from trainer.data.sources import Row


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is, or is not, to be learned."""

    text: str
    is_answer: bool


def record_pieces(row: Row, data: DataConfig, where: str) -> list[Piece]:
    """Prompt and answer of a record in the LLM-Adapters format.

    Raises:
        UserError: the instruction or the answer is missing or not text.
    """
    instruction = _text(row, data.instruction_field, where)
    extra = row.get(data.input_field) if data.input_field else None
    if extra:
        instruction = f"{instruction}\n{extra}"
    answer = _text(row, data.answer_field, where)
    template = TEMPLATES[data.template]
    supervised = template.separator + answer if answer.strip() else ""
    return [Piece(template.training_prompt(instruction), False), Piece(supervised, True)]


def _text(row: Row, key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        found = (
            f"has the keys {', '.join(k for k, v in row.items() if v is not None)}" if value is None else "is not text"
        )
        raise UserError(
            f"a record has no {key}: it {found}" if value is None else f"a record's {key} {found}: {value!r:.80}",
            where=where,
            fix="mend the record, or name other keys with data.instruction_field and data.answer_field",
        )
    return value


def chat_pieces(row: Row, tokenizer: PreTrainedTokenizerBase, where: str) -> list[Piece]:
    """The turns of a chat as the tokenizer's template writes them, each assistant turn an answer.

    The turn's end marker belongs to the answer; what follows the last answer is left out.

    Raises:
        UserError: the row is no chat, has no assistant turn, or the template cannot write it.
    """
    messages = _messages(row, where)
    pieces: list[Piece] = []
    written = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = _render(tokenizer, messages[:index], where, generation_prompt=True)
        turn = _render(tokenizer, messages[: index + 1], where, generation_prompt=False)
        if not prompt.startswith(written) or not turn.startswith(prompt):
            raise UserError(
                "the tokenizer's chat template rewrites earlier turns, so the answers' places in the text are not defined",
                where=where,
                fix="give each answer a row of its own, or set a chat template that only appends",
            )
        # An empty answer is kept empty here so that it can be counted.
        answer = turn[len(prompt) :] if message["content"].strip() else ""
        pieces += [Piece(prompt[len(written) :], False), Piece(answer, True)]
        written = turn
    if not pieces:
        raise UserError("a chat has no assistant turn to learn", where=where)
    return pieces


def _messages(row: Row, where: str) -> Sequence[Mapping[str, Any]]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UserError(
            "a row has no list of messages", where=where, fix="`format: records` reads instruction/output rows"
        )
    for message in messages:
        if not isinstance(message.get("role"), str) or not isinstance(message.get("content"), str):
            raise UserError("a message lacks its role or its content", where=where)
    if messages[0]["role"] == "assistant":
        raise UserError("a chat begins with an assistant turn, which has no prompt", where=where)
    return messages


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], where: str, *, generation_prompt: bool
) -> str:
    if not tokenizer.chat_template:
        raise UserError(
            "the base model's tokenizer has no chat template",
            where="data.format: messages",
            fix="use `format: records`",
        )
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=generation_prompt
        )
    except jinja2.TemplateError as error:
        raise UserError(f"the tokenizer's chat template refuses a chat: {error}", where=where) from None
    return text
