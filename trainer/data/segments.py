"""Splits a record or a chat into its text pieces: prompt, answer, and so on in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from transformers import PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.prompt import TEMPLATES
from schemas.row_text import RowText
from schemas.training.train_config import DataConfig
from trainer.data.chat_template import ChatTemplate
from trainer.data.messages import read_chat
from trainer.data.sources import Row

_OF_CHATS = ("system", "history", "tools")  # other trainers' records have these


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is, or is not, to be learned."""

    text: str
    is_answer: bool
    closed: bool = False
    """Whether it ends with the end-of-sequence already."""


def record_pieces(row: Row, data: DataConfig, where: str) -> list[Piece]:
    """Prompt and answer of a record in the LLM-Adapters format.

    Raises:
        UserError: the instruction or the answer is missing or not text.
    """
    prompt = _row_text(data.prompt) if data.prompt is not None else None
    known = prompt.fields if prompt else {data.instruction_field, data.input_field}
    for key in _OF_CHATS:
        if row.get(key) and key not in (*known, data.answer_field):
            raise UserError(
                f"a record has {key}, which a record's prompt has no place for",
                where=where,
                fix="write the rows as chats (data.format: messages), or take the key out",
            )
    if prompt is not None:
        answer = _text(row, data.answer_field, where)
        asked = prompt({key: value for key, value in row.items() if value is not None}, where)
        return [Piece(asked, False), Piece(data.answer_prefix + answer if answer.strip() else "", True)]
    extra = row.get(data.input_field) if data.input_field else None
    if extra is not None and not isinstance(extra, str):
        raise UserError(
            f"a record's {data.input_field} is not text: {extra!r:.80}",
            where=where,
            fix="write it as text, or ignore it with data.input_field: null",
        )
    instruction = _text(row, data.instruction_field, where)
    if extra:
        instruction = f"{instruction}\n{extra}"
    answer = _text(row, data.answer_field, where)
    template = TEMPLATES[data.template]
    supervised = template.separator + answer if answer.strip() else ""
    return [Piece(template.training_prompt(instruction), False), Piece(supervised, True)]


@cache
def _row_text(source: str) -> RowText:
    """Compiled once for all rows."""
    return RowText(source, "data.prompt", "data.prompt")


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


def chat_pieces(row: Row, tokenizer: PreTrainedTokenizerBase, where: str) -> list[list[Piece]]:
    """The turns of a chat as the tokenizer's template writes them, each assistant turn an answer.

    One list, where the template only appends; where it rewrites earlier turns (cuts their thoughts off, say), each answer
    that follows a rewritten text begins a list of its own, as its server will see it. The turn's end marker belongs to the
    answer; what follows the last answer is left out. No list, where no turn is to be learned.

    Raises:
        UserError: the row is no chat, or the template cannot write it or leaves something of it out.
    """
    chat, template = read_chat(row, where), ChatTemplate(tokenizer, where)
    learned = [index for index, wanted in enumerate(chat.learned) if wanted]
    if learned:
        template.require_nothing_left_out(chat, learned[-1])
    texts: list[list[Piece]] = []
    written = ""
    for index in learned:
        turn = template.turn(chat, index)
        if not texts or not turn.prompt.startswith(written):
            texts.append([])
            written = ""
        texts[-1] += [Piece(turn.prompt[len(written) :], False), Piece(turn.answer, True, closed=turn.closed)]
        written = turn.prompt + turn.answer
    return texts
