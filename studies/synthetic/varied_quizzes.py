"""Quizzes as instructions in many wordings and with many kinds of marks, so that a new wording or mark is learned in a few steps.

A base that has only seen few of them learns each task's own in one sudden step, at a moment that rounding decides, and a study
of such a base measures that moment (configs/studies/README.md). The marks and verdicts here are no task's.
"""

import random
import re

from schemas.prompt import COMMONSENSE_170K
from studies.synthetic.corpus import (
    MIXTURE,
    Document,
    Mixture,
    Passage,
    claims_pick,
    drilled,
    name_pick,
    value_pick,
    wrong_values,
)
from studies.synthetic.tasks import TASKS
from studies.synthetic.world import World

MARKS = ("choice", "reply", "item", "case", "point", "guess", "variant", "line")
VERDICTS = (("yes", "no"), ("right", "wrong"), ("agreed", "denied"), ("fact", "myth"))
REPLIES = ("the pick is", "my pick is", "the mark is", "it is", "the one to take is")
HINTS = ("marks", "reply with", "one of")
LEADS = (
    "take the right {mark} for this:",
    "look at each {mark} and name the right one:",
    "one {mark} fits, so name it:",
    "",
)
CLAIM_LEADS = ("judge this with {0} or {1}:", "say {0} or {1} to this:", "is it so?", "{0} or {1}?")


def varied_pick(rng: random.Random, world: World) -> Document:
    """Pick by a numbered mark, such as ``Choice1: ... Choice2: ...``."""
    ask, choices, place = rng.choice((value_pick, name_pick, claims_pick))(rng, world)
    mark = rng.choice(MARKS)
    shown = mark.capitalize() if rng.random() < 0.7 else mark
    gap = rng.choice((" ", " ", "\n\n"))
    listed = gap.join(f"{shown}{number}: {choice}" for number, choice in enumerate(choices, start=1))
    lead = rng.choice(LEADS).format(mark=mark)
    marks = [f"{mark}{number}" for number in range(1, len(choices) + 1)]
    return _instruction(rng, f"{lead} {ask}\n\n{listed}".strip(), marks, marks[place])


def varied_claim(rng: random.Random, world: World) -> Document:
    """Judge a statement with one of several pairs of verdicts."""
    entity, relation = drilled(rng, world)
    right = rng.random() < 0.5
    value = entity.facts[relation.name] if right else rng.choice(wrong_values(entity, relation))
    verdicts = rng.choice(VERDICTS)
    claim = rng.choice(relation.statements).format(name=entity.noun, value=value)
    lead = rng.choice(CLAIM_LEADS).format(*verdicts)
    return _instruction(rng, f"{lead} {claim}", list(verdicts), verdicts[0 if right else 1])


def rephrased_task(rng: random.Random, world: World) -> Document:
    """A task's question about a drilled entity, with other marks or verdicts and another lead."""
    labels, make = rng.choice(list(TASKS.values()))
    place = rng.randrange(len(labels))
    question = _LEAD.sub("", make(rng, world, "drilled", place).split("Answer format")[0]).strip()
    if labels == ("true", "false"):
        verdicts = rng.choice(VERDICTS)
        lead = rng.choice(CLAIM_LEADS).format(*verdicts)
        return _instruction(rng, f"{lead} {question}", list(verdicts), verdicts[place])
    mark = rng.choice(MARKS)
    lead = rng.choice(LEADS).format(mark=mark)
    marks = [f"{mark}{number}" for number in range(1, len(labels) + 1)]
    text = f"{lead} {_MARK.sub(mark.capitalize(), question)}".strip()
    return _instruction(rng, text, marks, marks[place])


def _instruction(rng: random.Random, text: str, marks: list[str], answer: str) -> Document:
    template = rng.choice((COMMONSENSE_170K.training_prompt, COMMONSENSE_170K.evaluation_prompt))
    hint = f"\n\n{rng.choice(HINTS)}: {'/'.join(marks)}" if rng.random() < 0.8 else ""
    return [Passage(template(text + hint) + rng.choice(REPLIES), f" {answer}")]


_LEAD = re.compile(r"^Please [^:]+: ")
_MARK = re.compile(r"(?:Solution|Answer|Ending|Option)(?=\d: )")

VARIED: Mixture = (
    *((make, share / 2) for make, share in MIXTURE),
    (varied_pick, 0.35),
    (varied_claim, 0.15),
)
"""Half of what the base has read so far, half varied instructions."""
EXERCISES: Mixture = (
    *((make, share / 2) for make, share in VARIED),
    (rephrased_task, 0.5),
)
"""And half of that the tasks' questions, about other entities and answered in other words."""
