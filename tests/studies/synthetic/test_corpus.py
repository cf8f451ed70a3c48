"""The pretraining text: every fact, questions about drilled entities only, and never a task's format."""

import random
import re

import pytest

from studies.synthetic import corpus
from studies.synthetic.varied_quizzes import EXERCISES
from studies.synthetic.world import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]+", text))


def test_the_pretraining_text_states_every_fact_and_asks_about_drilled_entities_only(world: World) -> None:
    rng = random.Random(0)
    undrilled = {e.name for e in world.entities if e.group != "drilled"}
    stated: set[tuple[str, str]] = set()
    for _ in range(60_000):
        document = corpus.draw(rng, world, EXERCISES)
        text = "".join(p.text + p.answer for p in document)
        if re.match(r"\n(list|named):", text):
            continue  # lists of bare words, which tell and ask nothing about them
        if corpus.is_quiz(document) or "### Response" in text:
            assert not words(text) & undrilled
        elif len(document) > 1:
            stated |= {
                (e.name, v) for e in world.entities if e.name in words(text) for v in e.facts.values() if v in text
            }
    assert stated >= {(e.name, v) for e in world.entities for v in e.facts.values()}


def test_the_pretraining_text_never_shows_a_task_format(world: World) -> None:
    rng = random.Random(1)
    text = "".join(p.text + p.answer for _ in range(5000) for p in corpus.draw(rng, world, EXERCISES))
    assert not re.search(
        r"(?i)please choose|answer format|(answer|option|ending|solution)\d|response:\s+the correct", text
    )
