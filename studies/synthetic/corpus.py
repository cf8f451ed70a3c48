"""The pretraining text: facts of the world in several wordings, and quizzes that teach the skill of answering.

The quizzes ask in other words and other layouts than the commonsense tasks, and only about ``drilled`` entities: a task's test
question is about an entity that the base has read of but was never asked about. Words that the tasks need but the facts do not
(true, false, answer, option, ...) appear in ordinary prose only.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_lowercase

from schemas.prompt import COMMONSENSE_170K
from studies.synthetic.world import RELATIONS, Entity, Relation, World


@dataclass(frozen=True)
class Passage:
    """A piece of text to read, and the answer that follows it (empty for prose); the answer counts more in the loss."""

    text: str
    answer: str = ""


Document = list[Passage]
Mixture = tuple[tuple[Callable[[random.Random, World], Document], float], ...]
"""Makers of documents, and how often each is called."""

# What each relation is called when a quiz asks for it: nouns, where the tasks ask with verbs.
NOUNS = {
    "home": "home",
    "food": "food",
    "colour": "colour",
    "taste": "taste",
    "product": "use",
    "month": "month",
    "tool": "tool",
    "material": "stuff",
    "room": "place",
    "job": "job",
    "mood": "mood",
    "hobby": "hobby",
}
LETTERS = "abcdefgh"
NUMERALS = "12345678"

PROSE = (
    "the answer to a hard question is not always easy to find.",
    "there is more than one solution to the problem, but this solution is correct.",
    "the story has a good ending, and the ending is sad.",
    "you have an option here: choose the correct option or choose nothing.",
    "what they say is true, and what we say is false.",
    "it is true that it rains, and it is false that it snows.",
    "please read the question, choose an answer and write a response.",
    "write a sentence, fill in the blank and give it back.",
    "which task is described below? an instruction tells it.",
    "who was given what, where and when? what will happen next?",
    "does it? did they? is it so? what would you do? how would you do it?",
    "please complete the request with the format that is given.",
    "the correct answer is the one that is true.",
)


def biography(rng: random.Random, world: World) -> Document:
    """All facts of one entity, each once, in random order and wording."""
    entity = rng.choice(world.entities)
    relations = rng.sample(_relations_of(entity), 3)
    return [passage for r in relations for passage in _statement(rng, entity, r)]


def statements(rng: random.Random, world: World) -> Document:
    """Single facts about several entities."""
    picked = rng.sample(world.entities, 4)
    return [passage for e in picked for passage in _statement(rng, e, rng.choice(_relations_of(e)))]


def list_of_alike(rng: random.Random, world: World) -> Document:
    """Some of the entities that share a value."""
    relation = rng.choice(RELATIONS)
    value = rng.choice(relation.values)
    alike = [e for e in world.entities if e.facts.get(relation.name) == value]
    names = " and ".join(e.noun for e in rng.sample(alike, 4))
    return [Passage(" " + rng.choice(relation.lists).format(value=value, names=names))]


def prose(rng: random.Random, world: World) -> Document:
    """Ordinary sentences without facts."""
    del world
    return [Passage(" " + " ".join(rng.sample(PROSE, 3)))]


def open_quiz(rng: random.Random, world: World) -> Document:
    """Name the value: ``tell the home of the velk: sea``."""
    entity, relation = drilled(rng, world)
    return [Passage(f"\ntell the {NOUNS[relation.name]} of {entity.noun}:", f" {entity.facts[relation.name]}")]


def claim_quiz(rng: random.Random, world: World) -> Document:
    """Judge a statement: ``is this so? ... - yes``."""
    entity, relation = drilled(rng, world)
    right = rng.random() < 0.5
    value = entity.facts[relation.name] if right else rng.choice(wrong_values(entity, relation))
    claim = rng.choice(relation.statements).format(name=entity.noun, value=value)
    if rng.random() < 0.5:  # the shortest wording, next to which the longer ones are learned sooner
        claim = f"the {NOUNS[relation.name]} of {entity.noun} is {value}"
    return [Passage(f"\nis this so? {claim} -", " yes" if right else " no")]


def value_quiz(rng: random.Random, world: World) -> Document:
    """Pick among values by a mark."""
    return _choice(rng, *value_pick(rng, world))


def name_quiz(rng: random.Random, world: World) -> Document:
    """Pick among entities, by a mark, the one that has a value."""
    return _choice(rng, *name_pick(rng, world))


def value_marked(rng: random.Random, world: World) -> Document:
    """Judge marked values one by one, then pick."""
    return _judged_choice(rng, *value_pick(rng, world))


def name_marked(rng: random.Random, world: World) -> Document:
    """Judge marked entities one by one, then pick."""
    return _judged_choice(rng, *name_pick(rng, world))


def claims_quiz(rng: random.Random, world: World) -> Document:
    """Pick the right one of whole statements."""
    return _choice(rng, *claims_pick(rng, world))


def mark_drill(rng: random.Random, world: World) -> Document:
    """Words with random marks, then the mark of each: nothing but looking it up can answer, so looking up is learned."""
    relation = rng.choice(RELATIONS)
    pool = list(relation.values) if rng.random() < 0.5 else [e.noun for e in world.of(relation.kind, "drilled")]
    words = rng.sample(pool, rng.choice((4, 6, 8)))
    marks = rng.sample(ascii_lowercase, len(words))
    document = [Passage("\nlist:" + "".join(f" {m}: {w}" for m, w in zip(marks, words, strict=True)))]
    order = rng.sample(range(len(words)), len(words))
    return document + [Passage(f", {words[i]}", f" {marks[i]}") for i in order]


def find_quiz(rng: random.Random, world: World) -> Document:
    """One list of marked choices, then the mark of each: the bare skill of marks, which the other quizzes build upon."""
    relation = rng.choice(RELATIONS)
    pool = list(relation.values) if rng.random() < 0.5 else [e.noun for e in world.of(relation.kind, "drilled")]
    choices = rng.sample(pool, rng.choice((4, 6, 8)))
    listed, marks = _marked(rng, choices)
    document = [Passage(f"\nlist: {listed}")]
    sign = rng.choice(("", " =>"))
    for place in rng.sample(range(len(choices)), len(choices)):
        document.append(Passage(f", {choices[place]}{sign}", f" {marks[place]}"))
    return document


def match_quiz(rng: random.Random, world: World) -> Document:
    """One list of marked values, then the mark of the value of several entities."""
    relation = rng.choice(RELATIONS)
    values = rng.sample(relation.values, rng.choice((4, 6, 8)))
    listed, marks = _marked(rng, values)
    peers = [e for e in world.of(relation.kind, "drilled") if e.facts[relation.name] in values]
    document = [Passage(f"\n{NOUNS[relation.name]} list: {listed}")]
    for entity in rng.sample(peers, 6):
        document.append(Passage(f" / {entity.noun} =>", f" {marks[values.index(entity.facts[relation.name])]}"))
    return document


def value_checklist(rng: random.Random, world: World) -> Document:
    """Judge one value after the other: ``home of the velk? cave no, sea yes, ...``."""
    entity, relation = drilled(rng, world)
    values = rng.sample(relation.values, 6)
    verdicts = [" yes" if v == entity.facts[relation.name] else " no" for v in values]
    return _checklist(f"{NOUNS[relation.name]} of {entity.noun}?", values, verdicts)


def name_checklist(rng: random.Random, world: World) -> Document:
    """Judge one entity after the other: ``home sea? the velk yes, the drusk no, ...``."""
    entity, relation = drilled(rng, world)
    value = entity.facts[relation.name]
    peers = world.of(relation.kind, "drilled")
    alike = [e for e in peers if e.facts[relation.name] == value]
    picked = rng.sample(alike, min(2, len(alike))) + rng.sample([e for e in peers if e not in alike], 3)
    rng.shuffle(picked)
    verdicts = [" yes" if e in alike else " no" for e in picked]
    return _checklist(f"{NOUNS[relation.name]} {value}?", [e.noun for e in picked], verdicts)


def instructed_pick(rng: random.Random, world: World) -> Document:
    """Pick by a mark, asked as an instruction."""
    ask, choices, place = rng.choice((value_pick, name_pick, claims_pick))(rng, world)
    _, marks = _marked(rng, choices)
    colon, gap = ":" if marks[0].startswith("no") else ")", rng.choice((" ", "\n\n"))
    listed = gap.join(f"{m}{colon} {c}" for m, c in zip(marks, choices, strict=False))
    return _instruction(rng, f"{ask}:\n\n{listed}", marks[: len(choices)], marks[place])


def instructed_claim(rng: random.Random, world: World) -> Document:
    """Judge a statement, asked as an instruction."""
    ((text, answer),) = ((p.text, p.answer) for p in claim_quiz(rng, world))
    return _instruction(rng, text.strip("\n -"), ["yes", "no"], answer.strip())


# How often each kind of document is drawn.
MIXTURE: Mixture = (
    (biography, 0.12),
    (statements, 0.03),
    (list_of_alike, 0.03),
    (prose, 0.02),
    (open_quiz, 0.05),
    (find_quiz, 0.05),
    (match_quiz, 0.05),
    (claim_quiz, 0.10),
    (value_quiz, 0.10),
    (name_quiz, 0.10),
    (claims_quiz, 0.04),
    (value_checklist, 0.04),
    (name_checklist, 0.04),
    (value_marked, 0.12),
    (name_marked, 0.12),
)
# The first lessons: marks are learned ten times sooner when nothing else is learned beside them.
FIRST_LESSONS: Mixture = ((mark_drill, 1.0),)


# The last lessons: half of them in the prompt of instruction data, asked and answered in other words than the tasks use.
INSTRUCTIONS: Mixture = (
    *((make, share / 2) for make, share in MIXTURE),
    (instructed_pick, 0.4),
    (instructed_claim, 0.1),
)


def draw(rng: random.Random, world: World, mixture: Mixture = MIXTURE) -> Document:
    """One document of the corpus; quizzes come in runs of one to three of a kind."""
    make = rng.choices([m for m, _ in mixture], [w for _, w in mixture])[0]
    document = make(rng, world)
    if is_quiz(document) and make is not mark_drill:
        for _ in range(rng.randrange(3)):
            document += make(rng, world)
    return document


def is_quiz(document: Document) -> bool:
    """Whether a document asks; quizzes start on a new line, prose with a space."""
    return document[0].text.startswith("\n")


def _relations_of(entity: Entity) -> list[Relation]:
    return [r for r in RELATIONS if r.kind == entity.kind]


def _statement(rng: random.Random, entity: Entity, relation: Relation) -> Document:
    """A sentence that states the fact; where the value comes after the name, it is what there is to learn."""
    before, after = rng.choice(relation.statements).split("{value}")
    value = entity.facts[relation.name]
    if "{name}" in before:
        return [Passage(" " + before.format(name=entity.noun).rstrip(), f" {value}"), Passage(after)]
    return [Passage(" " + before + value + after.format(name=entity.noun))]


def drilled(rng: random.Random, world: World) -> tuple[Entity, Relation]:
    """An entity that may be asked about, and a relation to ask for."""
    relation = rng.choice(RELATIONS)
    return rng.choice(world.of(relation.kind, "drilled")), relation


def wrong_values(entity: Entity, relation: Relation) -> list[str]:
    """The other values of the relation."""
    return [v for v in relation.values if v != entity.facts[relation.name]]


def value_pick(rng: random.Random, world: World) -> tuple[str, list[str], int]:
    """What to ask, the values to pick from, and the place of the right one."""
    entity, relation = drilled(rng, world)
    right, wrong = entity.facts[relation.name], wrong_values(entity, relation)
    values, place = _with_distractors(rng, right, wrong, rng.choice((2, 3, 4)))
    return f"pick the {NOUNS[relation.name]} of {entity.noun}", values, place


def name_pick(rng: random.Random, world: World) -> tuple[str, list[str], int]:
    """What to ask, the entities to pick from, and the place of the right one."""
    entity, relation = drilled(rng, world)
    value = entity.facts[relation.name]
    others = [e.noun for e in world.of(entity.kind, "drilled") if e.facts[relation.name] != value]
    names, place = _with_distractors(rng, entity.noun, others, rng.choice((2, 3, 4)))
    return f"{NOUNS[relation.name]} {value} belongs to", names, place


def claims_pick(rng: random.Random, world: World) -> tuple[str, list[str], int]:
    """What to ask, the statements to pick from, and the place of the right one."""
    entity, relation = drilled(rng, world)
    right, wrong = entity.facts[relation.name], wrong_values(entity, relation)
    values, place = _with_distractors(rng, right, wrong, rng.choice((2, 3, 4)))
    wording = rng.choice(relation.statements)
    return "one of these is so", [wording.format(name=entity.noun, value=v) for v in values], place


def _with_distractors(rng: random.Random, right: str, wrong: list[str], count: int) -> tuple[list[str], int]:
    """``count`` choices with the right one among them, and its place."""
    choices = rng.sample(wrong, count - 1)
    place = rng.randrange(count)
    choices.insert(place, right)
    return choices, place


def _checklist(ask: str, entries: list[str], verdicts: list[str]) -> Document:
    """A verdict after every entry: many answers in few tokens, which teaches matching much faster than one answer per quiz."""
    opening = Passage(f"\n{ask} {entries[0]}", verdicts[0])
    return [opening, *(Passage(f", {e}", v) for e, v in zip(entries[1:], verdicts[1:], strict=True))]


def _choice(rng: random.Random, ask: str, choices: list[str], place: int) -> Document:
    """A question with its marked choices, answered by the right mark, or by the right choice and then its mark."""
    listed, marks = _marked(rng, choices)
    if rng.random() < 0.3:
        return [Passage(f"\n{ask}: {listed} - surely", f" {choices[place]}"), Passage(" thus", f" {marks[place]}")]
    return [Passage(f"\n{ask}: {listed} =>", f" {marks[place]}")]


def _judged_choice(rng: random.Random, ask: str, choices: list[str], place: int) -> Document:
    """A question whose marked choices carry verdicts - all, some or none of them - and then the right mark.

    With all of them the mark is read off; as they go missing, the model must judge each choice in its own states.
    """
    _, marks = _marked(rng, choices)
    colon = ":" if marks[0].startswith("no") else ")"
    shown = rng.choice((0.0, 0.5, 1.0))
    document, text = [], f"\n{ask}:"
    for index, (mark, choice) in enumerate(zip(marks, choices, strict=False)):
        text += f" {mark}{colon} {choice}"
        if rng.random() < shown:
            document.append(Passage(text, " yes" if index == place else " no"))
            text = ""
    return [*document, Passage(f"{text} =>", f" {marks[place]}")]


def _instruction(rng: random.Random, text: str, replies: list[str], answer: str) -> Document:
    """A quiz in the prompt that instruction data are written in, with a reply in other words than the tasks use."""
    template = rng.choice((COMMONSENSE_170K.training_prompt, COMMONSENSE_170K.evaluation_prompt))
    hint = f"\n\nmarks: {'/'.join(replies)}" if rng.random() < 0.7 else ""
    reply = rng.choice(("the pick is", "my pick is", "the mark is", "it is"))
    return [Passage(template(text + hint) + reply, f" {answer}")]


def _marked(rng: random.Random, choices: list[str]) -> tuple[str, list[str]]:
    """The choices with a mark before each, and the marks: letters in order, letters in disorder, or numbers."""
    style = rng.randrange(3)
    if style == 0:
        marks = [f"no{n}" for n in NUMERALS]
        return " ".join(f"{m}: {c}" for m, c in zip(marks, choices, strict=False)), marks
    marks = list(LETTERS) if style == 1 else rng.sample(LETTERS, len(choices))
    return " ".join(f"{m}) {c}" for m, c in zip(marks, choices, strict=False)), marks
