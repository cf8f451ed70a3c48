"""The wordings: each says what it must, none twice."""

from __future__ import annotations

import re

import pytest

from studies.synthetic import message_wordings as words


@pytest.mark.parametrize(("lists", "slot"), [(words.INTENTS, "{what}"), (words.DATES, "{when}")])
def test_every_wording_has_its_slot_and_stands_under_one_intent(lists: dict[str, tuple[str, ...]], slot: str) -> None:
    for said in lists.values():
        assert all(wording.count(slot) == 1 for wording in said)
    if slot == "{what}":
        everything = [wording for said in lists.values() for wording in said]
        assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("name", ["URGENT", "CALM", "ASIDES", "OPENINGS", "THINGS", "LOOKS", "DATE_FORMS"])
def test_nothing_stands_twice(name: str) -> None:
    said = getattr(words, name)
    assert len(set(said)) == len(said)


def test_no_thing_has_another_plural_than_an_s() -> None:
    assert not [thing for thing in words.THINGS if re.search("(s|sh|ch|x|f|fe|[^aeiou]y)$", thing)]
