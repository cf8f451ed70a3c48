"""From a task of a suite file to its items: every text made and checked, row by row, before a model is opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluator.scoring.reading import to_number
from evaluator.tasks.own.matchable import can_match
from evaluator.tasks.own.rows import Row, read_rows, row_place
from schemas.errors import UserError
from schemas.evaluation.suite_file import (
    AnyOf,
    ChoiceAnswer,
    JsonMatch,
    Judged,
    NumberAnswer,
    OwnTask,
    RegexAnswer,
    UnitTest,
)
from schemas.row_text import RowText, field_of

Turns = list[dict[str, str]]
ChatTemplate = Callable[[Turns], str]
"""Renders the turns of a chat, with the beginning of the answer."""


@dataclass(frozen=True)
class Item:
    """One item, as lm-eval and the sample's reader see it; all of it text, so that items are of one form."""

    task_id: str
    """Names the item in the sandbox: task and row."""
    question: str
    """The prompt as sent."""
    asked: str
    """The row's own question, without examples and chat template, for the judge."""
    rubric: str
    """What the judge is told makes an answer good."""
    right: str
    """The target."""
    accepted: tuple[str, ...]
    """Every right answer."""
    options: tuple[str, ...]
    """Of a ranked choice."""
    cluster: str | None
    """Value of `group_by`."""
    prompt: str
    """Source before the answer, of a unit test."""
    test: str
    """The unit test."""
    entry_point: str
    """Function under test."""

    def plain(self) -> dict[str, Any]:
        """As a row of a data set."""
        return asdict(self)


class Texts:
    """The texts of one task, compiled once."""

    def __init__(self, name: str, task: OwnTask, place: Path) -> None:
        self.name, self.task, self.place = name, task, place
        self.target = self._text(task.target, "target") if task.target is not None else None
        self.rubric = self._text(task.counts.rubric, "counts.rubric") if isinstance(task.counts, Judged) else None
        messages = task.messages or ()
        self.turns = [(one.role, self._text(one.content, f"messages.{n}")) for n, one in enumerate(messages)]
        self.prompt = self._text(task.prompt, "prompt") if task.prompt is not None else None
        options = task.answer.options if isinstance(task.answer, ChoiceAnswer) else ()
        self.options = options if isinstance(options, str) else [self._text(one, "answer.options") for one in options]
        unit = task.counts if isinstance(task.counts, UnitTest) else None
        self.unit = [self._text(text, f"counts.{key}") for key, text in _unit_texts(unit)]

    def _text(self, source: str, key: str) -> RowText:
        return RowText(source, f"tasks.{self.name}.{key}", self.place)


def items_of(name: str, task: OwnTask, place: Path, folder: Path, chat: ChatTemplate | None) -> list[Item]:
    """The items of one task.

    Args:
        name: the task's name.
        task: its part of the suite file.
        place: the suite file.
        folder: where the data files are looked for.
        chat: the base's chat template; None where it has none.

    Raises:
        UserError: a file, a row or a text does not fit; it says which and why.
    """
    if isinstance(task.answer, RegexAnswer) and not can_match(task.answer.pattern):
        raise UserError(
            f"tasks.{name}.answer.pattern {task.answer.pattern!r} can match no text at all",
            where=place,
            fix="every answer would count as unparsed; mend the pattern",
        )
    if task.messages and chat is None:
        raise UserError(
            f"tasks.{name} has `messages`, and this base has no chat template", where=place, fix="give a `prompt`"
        )
    texts = Texts(name, task, place)
    data = folder / task.data
    rows = read_rows(data)
    examples = _examples(texts, folder)
    return [_item(texts, row, row_place(data, number), examples, chat) for number, row in enumerate(rows, start=1)]


def _item(texts: Texts, row: Row, where: str, examples: Sequence[tuple[Turns, str]], chat: ChatTemplate | None) -> Item:
    task = texts.task
    right = _target(texts, row, where)
    options = _options(texts, row, where)
    if options and right not in options:
        raise UserError(f"the target {right!r} is none of the options {list(options)}", where=where)
    cluster = None
    if task.group_by is not None:
        cluster = str(field_of(row, task.group_by, f"tasks.{texts.name}.group_by", where))
    unit = [text(row, where) for text in texts.unit] or ["", "", ""]
    return Item(
        task_id=f"{texts.name}/{where.rpartition(' ')[2]}",
        question=_question(texts, row, where, examples, chat),
        asked="\n\n".join(turn["content"] for turn in _turns(texts, row, where) if turn["role"] != "system"),
        rubric=texts.rubric(row, where) if texts.rubric else "",
        right=right,
        accepted=_accepted(texts, row, where, right),
        options=options,
        cluster=cluster,
        prompt=unit[0],
        test=unit[1],
        entry_point=unit[2],
    )


def _question(
    texts: Texts, row: Row, where: str, examples: Sequence[tuple[Turns, str]], chat: ChatTemplate | None
) -> str:
    """The examples, then the row's own prompt: as one text, or as turns through the chat template."""
    turns = _turns(texts, row, where)
    if chat is not None and texts.turns:
        system = [turn for turn in turns if turn["role"] == "system"]
        own = [turn for turn in turns if turn["role"] != "system"]
        shown = [turn for example, answer in examples for turn in (*example, {"role": "assistant", "content": answer})]
        return chat([*system, *shown, *own])
    separator = texts.task.shots.separator if texts.task.shots else ""
    shown_text = [f"{example[0]['content']}{texts.task.target_prefix}{answer}" for example, answer in examples]
    return separator.join([*shown_text, turns[0]["content"]])


def _turns(texts: Texts, row: Row, where: str) -> Turns:
    if texts.prompt is not None:
        return [{"role": "user", "content": texts.prompt(row, where)}]
    return [{"role": role, "content": text(row, where)} for role, text in texts.turns]


def _examples(texts: Texts, folder: Path) -> list[tuple[Turns, str]]:
    shots = texts.task.shots
    if shots is None:
        return []
    data = folder / shots.data
    rows = read_rows(data)
    if len(rows) < shots.count:
        raise UserError(f"tasks.{texts.name}.shots asks for {shots.count} rows, the file has {len(rows)}", where=data)
    places = [row_place(data, number) for number in range(1, shots.count + 1)]
    return [
        ([turn for turn in _turns(texts, row, where) if turn["role"] != "system"], _target(texts, row, where))
        for row, where in zip(rows, places, strict=False)
    ]


def _target(texts: Texts, row: Row, where: str) -> str:
    right = texts.target(row, where).strip() if texts.target else ""
    if isinstance(texts.task.answer, NumberAnswer) and to_number(right) is None:
        raise UserError(f"the target {right!r} is no number", where=where)
    if isinstance(texts.task.counts, JsonMatch):
        try:
            json.loads(right)
        except ValueError:
            raise UserError(f"the target {right!r} is not JSON", where=where) from None
    return right


def _options(texts: Texts, row: Row, where: str) -> tuple[str, ...]:
    name = f"tasks.{texts.name}.answer.options"
    if isinstance(texts.options, str):
        given = field_of(row, texts.options, name, where)
        if not isinstance(given, list) or len(given) < 2:
            raise UserError(f"{name} names the field {texts.options!r}, which holds no list of options", where=where)
        options = tuple(str(one) for one in given)
    else:
        options = tuple(text(row, where) for text in texts.options)
    if len(set(options)) != len(options):
        raise UserError(f"two options are the same: {list(options)}", where=where)
    return options


def _accepted(texts: Texts, row: Row, where: str, right: str) -> tuple[str, ...]:
    counts = texts.task.counts
    if not isinstance(counts, AnyOf):
        return (right,)
    given = field_of(row, counts.accepted, f"tasks.{texts.name}.counts.accepted", where)
    if not isinstance(given, list):
        raise UserError(f"the field {counts.accepted!r} holds no list of accepted answers", where=where)
    return tuple(dict.fromkeys((right, *(str(one).strip() for one in given))))


def _unit_texts(unit: UnitTest | None) -> list[tuple[str, str]]:
    if unit is None:
        return []
    return [("before", unit.before), ("test", unit.test), ("entry_point", unit.entry_point)]


def as_dataset(items: Sequence[Item]) -> Mapping[str, Any]:
    """The items as lm-eval's `custom_dataset` gives them: one split, `test`."""
    from datasets import Dataset, DatasetDict

    split: Mapping[str, Any] = DatasetDict({"test": Dataset.from_list([item.plain() for item in items])})
    return split
