"""A task set that anyone recognises: a customer's message becomes JSON (intent, product, quantity, date, urgent).

Training, validation and test messages share no sentence that says something, no product and no date, so nothing can be looked
up. Asides name other products and numbers, urgency is denied in its own words, and quantities and dates are put into one form.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from schemas.document import write_atomically
from studies.synthetic import message_wordings as words

Choice = TypeVar("Choice")
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
SYSTEM = "Reply in JSON: intent (order, cancel, return, complaint), product, quantity, date (month/day), urgent."
"""What the model is told, in training and afterwards."""
ROWS: Mapping[Part, int] = {"train": 1_000, "validation": 40, "test": 400}
"""How many, by part."""
INTENTS = tuple(words.INTENTS)
_VALIDATION, _TEST = 0.08, 0.22  # of each list; training has the rest
_DAYS = 28
_SUFFIXES = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}


@dataclass(frozen=True)
class Wordings:
    """What one part may say."""

    intents: Mapping[str, Sequence[str]]
    dates: Mapping[str, Sequence[str]]
    urgent: Sequence[str]
    calm: Sequence[str]
    asides: Sequence[str]
    things: Sequence[str]
    looks: Sequence[str]
    calendar: Sequence[tuple[int, int]]
    """Months and days."""


def make_messages(out: Path, rows: Mapping[Part, int], seed: int = 0) -> None:
    """Writes `train.jsonl`, `validation.jsonl` and `test.jsonl` into a directory.

    Args:
        out: the directory.
        rows: how many, by part.
        seed: of the cut into parts and of the draws.
    """
    for part, wordings in zip(PARTS, _cut(random.Random(seed)), strict=True):  # noqa: S311 - nothing secret
        rng = random.Random(f"{seed} {part}")  # noqa: S311 - nothing secret
        lines = [json.dumps(_row(rng, wordings)) + "\n" for _ in range(rows[part])]
        write_atomically(out / f"{part}.jsonl", "".join(lines).encode())


def _row(rng: random.Random, wordings: Wordings) -> dict[str, object]:
    """One message: as a chat to learn from, and its parts for a suite file."""
    wording, message, answer = _message(rng, wordings)
    chat = [("system", SYSTEM), ("user", message), ("assistant", answer)]
    return {
        "messages": [{"role": role, "content": content} for role, content in chat],
        "message": message,
        "answer": answer,
        "wording": wording,
    }


def _message(rng: random.Random, wordings: Wordings) -> tuple[str, str, str]:
    """The sentence that says what is wanted, as in the lists; the message; the answer."""
    intent = rng.choice(sorted(wordings.intents))
    product, other = (f"{rng.choice(wordings.looks)} {thing}" for thing in rng.sample(list(wordings.things), 2))
    quantity = rng.choice((1, 1, 2, 2, *words.QUANTITIES))
    wording = rng.choice(wordings.intents[intent])
    said = [wording.format(what=_what(rng, quantity, product))]
    date = None
    if rng.random() < 0.75:
        month, day = rng.choice(wordings.calendar)
        date = f"{month}/{day}"
        said.append(rng.choice(wordings.dates[intent]).format(when=_when(rng, month, day)))
    urgent = rng.random() < 0.4
    if urgent or rng.random() < 0.3:
        said.append(rng.choice(wordings.urgent if urgent else wordings.calm))
    if rng.random() < 0.5:
        aside = rng.choice(wordings.asides).format(other=other, number=rng.randint(1000, 9999))
        said.insert(rng.choice((0, len(said))), aside)
    if rng.random() < 0.25:
        said.insert(0, rng.choice(words.OPENINGS))
    answer = {"intent": intent, "product": product, "quantity": quantity, "date": date, "urgent": urgent}
    return wording, " ".join(said), json.dumps(answer)


def _what(rng: random.Random, quantity: int, product: str) -> str:
    said = rng.choice(words.QUANTITIES[quantity])
    if said == "a":
        said = "an" if product[0] in "aeiou" else "a"
    return f"{said} {product}" if quantity == 1 else f"{said} {product}s"


def _when(rng: random.Random, month: int, day: int) -> str:
    ordinal = f"{day}{_SUFFIXES.get(day, 'th')}"
    return rng.choice(words.DATE_FORMS).format(month=words.MONTHS[month - 1], day=day, ordinal=ordinal)


def _cut(rng: random.Random) -> list[Wordings]:
    """What each part may say: every list in three, without overlap."""

    def cut(whole: Sequence[Choice]) -> list[list[Choice]]:
        mixed = rng.sample(list(whole), len(whole))
        kept, tested = (max(1, round(len(mixed) * share)) for share in (_VALIDATION, _TEST))
        return [mixed[kept + tested :], mixed[:kept], mixed[kept : kept + tested]]

    intents = {intent: cut(said) for intent, said in words.INTENTS.items()}
    dates = {intent: cut(said) for intent, said in words.DATES.items()}
    urgent, calm, asides, things, looks = map(cut, (words.URGENT, words.CALM, words.ASIDES, words.THINGS, words.LOOKS))
    calendar = cut([(month, day) for month in range(1, 13) for day in range(1, _DAYS + 1)])
    return [
        Wordings(
            intents={intent: said[part] for intent, said in intents.items()},
            dates={intent: said[part] for intent, said in dates.items()},
            urgent=urgent[part],
            calm=calm[part],
            asides=asides[part],
            things=things[part],
            looks=looks[part],
            calendar=calendar[part],
        )
        for part in range(len(PARTS))
    ]
