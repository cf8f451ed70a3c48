"""Commonsense-format records about the world, in the published LLM-Adapters prompt formats.

Train files ask about ``drilled`` and ``train`` entities, test files about ``test`` entities, so a test item's fact is in the
pretraining text and nowhere else: no train item states it, and no entity is in both files. Validation items, on which a
study chooses its learning rates, ask other questions about the train files' entities.
"""

import json
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.document import write_atomically
from studies.synthetic.world import RELATIONS, Entity, Relation, World, make_world

Split = Literal["drilled", "train", "validation", "test"]
Record = dict[str, str]
Item = tuple[str, str]
"""An instruction and its label."""

ITEMS: Mapping[Split, int] = {"train": 800, "validation": 60, "test": 240}
"""Items per task in the quickstart."""
STUDY_ITEMS: Mapping[Split, int] = {"train": 800, "validation": 60, "test": 400}
"""Items per task in the studies' set."""

# How each relation is asked for with a noun phrase: {name} is the entity.
QUESTIONS = {
    "home": ("where does {name} live?", "where would you meet {name}?"),
    "food": ("what does {name} eat?", "what would you feed {name}?"),
    "colour": ("which colour does {name} have?", "how would you paint {name}?"),
    "taste": ("how does {name} taste?", "which taste does {name} have?"),
    "product": ("what do people make from {name}?", "what is {name} good for?"),
    "month": ("when does {name} bloom?", "when do the flowers of {name} open?"),
    "tool": ("which tool do you need for {name}?", "what do you mend {name} with?"),
    "material": ("what is {name} made of?", "what do they build {name} from?"),
    "room": ("where do they keep {name}?", "where would you look for {name}?"),
    "job": ("what does {name} do all day?", "which job does {name} have?"),
    "mood": ("how does {name} feel?", "which mood is {name} in?"),
    "hobby": ("what does {name} like?", "what will {name} do after work?"),
}
YES_NO = {
    "home": ("does {name} live in the {value}?", "would you meet {name} in the {value}?"),
    "food": ("does {name} eat {value}?", "would you feed {value} to {name}?"),
    "colour": ("is {name} {value}?", "does {name} have a {value} coat?"),
    "taste": ("is {name} {value}?", "does {name} taste {value}?"),
    "product": ("do people make {value} from {name}?", "is {name} good for {value}?"),
    "month": ("does {name} bloom in {value}?", "do the flowers of {name} open in {value}?"),
}
GOALS = {
    "tool": ("fix {name} that is broken.", "how do you mend {name}?"),
    "material": ("build {name}.", "how do you make {name}?"),
    "room": ("find {name}.", "where do you put {name} back?"),
}
SOLUTIONS = {
    "tool": "take the {value} for it.",
    "material": "get some {value} for it.",
    "room": "go to the {value}.",
}
SCENES = {
    "job": ("{name} got up early and went to work.", "what does {name} do there?", "works as a {value}"),
    "mood": ("{name} came in and sat down.", "how would you describe {name}?", "{value}"),
    "hobby": ("{name} had a free day.", "what will {name} want to do?", "{value}"),
}
BLANKS = {
    "home": "they looked at {a} and {b}, and then the one from the {value} went home, which was the _.",
    "food": "{a} and {b} were hungry, but there was only {value}, so they fed the _.",
    "tool": "{a} and {b} were broken, but there was only a {value}, so they fixed the _.",
    "room": "they needed {a} and {b}, but in the {value} there was only the _.",
}
ACTIVITIES = {
    "tool": ("mending: a man has {name} that is broken. he", "takes the {value}."),
    "material": ("building: a woman wants to make {name}. she", "gets some {value}."),
    "product": ("kitchen work: a woman picks {name} and goes home. she", "makes some {value}."),
    "hobby": ("a free day: {name} has no work to do. next {name}", "goes on with {value}."),
}
REVERSED = {
    "home": "which of these lives in the {value}?",
    "food": "which of these eats {value}?",
    "taste": "which of these is {value}?",
    "product": "from which of these do people make {value}?",
    "tool": "for which of these do you need a {value}?",
    "material": "which of these is made of {value}?",
}
ALIKE = {
    "home": "which of these lives where {name} lives?",
    "food": "which of these eats the same as {name}?",
    "taste": "which of these tastes like {name}?",
    "product": "which of these has the same use as {name}?",
    "tool": "which of these do you mend with the tool for {name}?",
    "material": "which of these is made of the same as {name}?",
}


@dataclass(frozen=True)
class TaskSet:
    """Which tasks, and how large."""

    tasks: tuple[str, ...]
    items: Mapping[Split, int]


def make_tasks(out: Path, seed: int = 0, task_set: str = "quickstart") -> None:
    """Writes ``<task>/train.json`` and ``<task>/test.json`` for every task of the set into the folder ``out``."""
    chosen = TASK_SETS[task_set]
    world = make_world(seed)
    for task in chosen.tasks:
        _write(out / task / "train.json", make_records(world, task, "train", items=chosen.items))
        _write(out / task / "test.json", make_records(world, task, "test", items=chosen.items))


def make_validation(out: Path, seed: int = 0, task_set: str = "quickstart") -> None:
    """Writes ``<task>/test.json`` with validation items into the folder ``out``: what the evaluator's --data takes."""
    chosen = TASK_SETS[task_set]
    world = make_world(seed)
    for task in chosen.tasks:
        asked = {record["instruction"] for record in make_records(world, task, "train", items=chosen.items)}
        _write(out / task / "test.json", make_records(world, task, "validation", asked, items=chosen.items))


def _write(path: Path, records: list[Record]) -> None:
    write_atomically(path, (json.dumps(records, indent=1, ensure_ascii=False) + "\n").encode())


def make_records(
    world: World, task: str, split: Split, without: Collection[str] = (), *, items: Mapping[Split, int] = ITEMS
) -> list[Record]:
    """The task's records of one split: no duplicate, none of ``without``, every label equally often, in random order."""
    rng = random.Random(f"{task}-{split}-{world.seed}")  # noqa: S311 - nothing secret
    labels, make = TASKS[task]
    made: dict[str, str] = {}
    # Labels take turns, so that the most frequent one is no better a guess than any other.
    while len(made) < items[split]:
        place = len(made) % len(labels)
        instruction = make(rng, world, split, place)
        if instruction not in without:
            made.setdefault(instruction, labels[place])
    records = [
        {"instruction": text, "input": "", "output": f"the correct answer is {label}", "answer": label}
        for text, label in made.items()
    ]
    rng.shuffle(records)
    return records


def _boolq(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, YES_NO)
    value = entity.facts[relation.name] if place == 0 else rng.choice(_wrong(entity, relation))
    question = rng.choice(YES_NO[relation.name]).format(name=entity.noun, value=value)
    return f"Please answer the following question with true or false, question: {question}\n\nAnswer format: true/false"


def _piqa(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, GOALS)
    goal = rng.choice(GOALS[relation.name]).format(name=entity.noun)
    s1, s2 = (SOLUTIONS[relation.name].format(value=v) for v in _values(rng, entity, relation, 2, place))
    return (
        f"Please choose the correct solution to the question: {goal}\n\nSolution1: {s1}\n\nSolution2: {s2}"
        "\n\nAnswer format: solution1/solution2"
    )


def _social_i_qa(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, SCENES)
    context, question, answer = SCENES[relation.name]
    answers = [answer.format(value=v) for v in _values(rng, entity, relation, 3, place)]
    return _answers(f"{context} {question}".format(name=entity.noun), answers)


def _hellaswag(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, ACTIVITIES)
    context, ending = ACTIVITIES[relation.name]
    endings = [ending.format(value=v) for v in _values(rng, entity, relation, 4, place)]
    return (
        f"Please choose the correct ending to complete the given sentence: {context.format(name=entity.noun)}\n\n"
        f"{_listed('Ending', endings)}\n\nAnswer format: ending1/ending2/ending3/ending4"
    )


def _winogrande(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, BLANKS)
    other = rng.choice(_unlike(world, split, entity, relation))
    # Which of the two is named first in the sentence tells nothing about the answer.
    a, b = rng.sample((entity, other), 2)
    sentence = BLANKS[relation.name].format(a=a.noun, b=b.noun, value=entity.facts[relation.name])
    options = [other.name, entity.name] if place else [entity.name, other.name]
    return (
        f"Please choose the correct answer to fill in the blank to complete the given sentence: {sentence}\n\n"
        f"{_listed('Option', options)} Answer format: option1/option2"
    )


def _arc_easy(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, QUESTIONS)
    question = rng.choice(QUESTIONS[relation.name]).format(name=entity.noun)
    return _answers(question, _values(rng, entity, relation, 4, place))


def _arc_challenge(rng: random.Random, world: World, split: Split, place: int) -> str:
    """Two facts are needed for every choice: its own, and that of the entity in the question."""
    alike: list[Entity] = []
    while not alike:
        entity, relation = _subject(rng, world, split, ALIKE)
        alike = [e for e in _askable(world, split, relation) if e.facts == entity.facts and e is not entity]
    names = [e.name for e in rng.sample(_unlike(world, split, entity, relation), 3)]
    names.insert(place, rng.choice(alike).name)
    return _answers(ALIKE[relation.name].format(name=entity.noun), names)


def _openbookqa(rng: random.Random, world: World, split: Split, place: int) -> str:
    entity, relation = _subject(rng, world, split, REVERSED)
    names = [e.name for e in rng.sample(_unlike(world, split, entity, relation), 3)]
    names.insert(place, entity.name)
    return _answers(REVERSED[relation.name].format(value=entity.facts[relation.name]), names)


Make = Callable[[random.Random, World, Split, int], str]
"""Makes an instruction whose right label is the one at the given place."""

# The eight published names, where the format matches; labels in the order of their places.
TASKS: dict[str, tuple[tuple[str, ...], Make]] = {
    "boolq": (("true", "false"), _boolq),
    "piqa": (("solution1", "solution2"), _piqa),
    "social_i_qa": (("answer1", "answer2", "answer3"), _social_i_qa),
    "hellaswag": (("ending1", "ending2", "ending3", "ending4"), _hellaswag),
    "winogrande": (("option1", "option2"), _winogrande),
    "ARC-Easy": (("answer1", "answer2", "answer3", "answer4"), _arc_easy),
    "openbookqa": (("answer1", "answer2", "answer3", "answer4"), _openbookqa),
    "ARC-Challenge": (("answer1", "answer2", "answer3", "answer4"), _arc_challenge),
}
# Two facts for every choice are beyond a base that is made in half an hour.
QUICKSTART_TASKS = tuple(task for task in TASKS if task != "ARC-Challenge")
TASK_SETS = {
    "quickstart": TaskSet(QUICKSTART_TASKS, ITEMS),
    "study": TaskSet(tuple(TASKS), STUDY_ITEMS),
}


def _subject(rng: random.Random, world: World, split: Split, wordings: Mapping[str, object]) -> tuple[Entity, Relation]:
    """A relation that the task has words for, and an entity of the split to ask about."""
    relation = rng.choice([r for r in RELATIONS if r.name in wordings])
    return rng.choice(_askable(world, split, relation)), relation


def _askable(world: World, split: Split, relation: Relation) -> list[Entity]:
    """Those of a split; `drilled` is none of the files', but what a base may be asked in pretraining."""
    if split in ("drilled", "test"):
        return world.of(relation.kind, split)
    return world.of(relation.kind, "drilled", "train")


def _unlike(world: World, split: Split, entity: Entity, relation: Relation) -> list[Entity]:
    """Entities of the split that have another value."""
    return [e for e in _askable(world, split, relation) if e.facts[relation.name] != entity.facts[relation.name]]


def _wrong(entity: Entity, relation: Relation) -> list[str]:
    return [v for v in relation.values if v != entity.facts[relation.name]]


def _values(rng: random.Random, entity: Entity, relation: Relation, count: int, place: int) -> list[str]:
    """``count`` values of which the one at ``place`` is right."""
    values = rng.sample(_wrong(entity, relation), count - 1)
    values.insert(place, entity.facts[relation.name])
    return values


def _listed(word: str, choices: list[str]) -> str:
    return " ".join(f"{word}{i}: {choice}" for i, choice in enumerate(choices, 1))


def _answers(question: str, answers: list[str]) -> str:
    """The prompt that SIQA, ARC and OpenBookQA share."""
    labels = "/".join(f"answer{i}" for i in range(1, len(answers) + 1))
    return f"Please choose the correct answer to the question: {question}\n\n{_listed('Answer', answers)}\n\nAnswer format: {labels}"
