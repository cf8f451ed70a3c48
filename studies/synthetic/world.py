"""An invented world: entities with made-up names and plain properties, the same for the same seed.

Names are made up so that no other model can know the answers; properties are ordinary words. Every entity has one value for
each relation of its kind. Properties go together, as in the real world: an entity has one of eight classes, and its class decides
its value in every relation, so that a model of a million parameters can hold it all. Entities are dealt once into three groups,
and everything downstream respects the deal:

- ``drilled``: described in the pretraining text, and asked about there (in other words than the tasks use);
- ``train``:   described in the pretraining text, never asked about there; asked about in the tasks' train files;
- ``test``:    described in the pretraining text, never asked about anywhere but in the tasks' test files.
"""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["animal", "plant", "thing", "person"]
Group = Literal["drilled", "train", "test"]

GROUP_SIZES: dict[Group, int] = {"drilled": 32, "train": 12, "test": 20}
ENTITIES_PER_KIND = sum(GROUP_SIZES.values())
CLASSES = 8

# Two syllables, such as "velko" or "drasti": short enough to become one token, and hardly ever a word.
ONSETS = (
    "b",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "fl",
    "gr",
    "kl",
    "pl",
    "tr",
)
VOWELS = ("a", "e", "i", "o", "u")
MIDDLES = ("lk", "rb", "rf", "rk", "rn", "lm", "rv", "lt", "zd", "nt")
ENDS = ("o", "i", "u")
REAL_WORDS = frozenset({"turbo", "salto", "panto", "pinto", "santo", "ranti", "junto", "banti", "panti"})


@dataclass(frozen=True)
class Relation:
    """One property that every entity of a kind has, with the plain sentences that state it."""

    name: str
    kind: Kind
    values: tuple[str, ...]
    statements: tuple[str, ...]
    """Sentences with {name} and {value}: how the pretraining text says the fact."""
    lists: tuple[str, ...]
    """Sentences with {value} and {names}: how it says which entities share a value."""


@dataclass(frozen=True)
class Entity:
    """One named thing of the world; ``facts`` maps each relation of its kind to its value."""

    name: str
    kind: Kind
    group: Group
    facts: dict[str, str]

    @property
    def noun(self) -> str:
        """The name as a noun phrase: people have names, everything else takes an article."""
        return self.name if self.kind == "person" else f"the {self.name}"


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "home",
        "animal",
        ("sea", "forest", "desert", "river", "cave", "swamp", "mountain", "field"),
        (
            "we know that {name} lives in the {value}.",
            "here {name} has its home in the {value}.",
            "people find {name} in the {value}.",
            "the {value} is where {name} lives.",
            "in the {value} one may meet {name}.",
        ),
        ("the animals of the {value} are {names}.", "in the {value} live {names}."),
    ),
    Relation(
        "food",
        "animal",
        ("seeds", "fish", "grass", "honey", "worms", "nuts", "roots", "eggs"),
        (
            "every day {name} eats {value}.",
            "when hungry, {name} looks for {value}.",
            "the food of {name} is {value}.",
            "give {value} to {name} and it is happy.",
            "with {value} one can feed {name}.",
        ),
        ("the animals that eat {value} are {names}.", "feed {value} to {names}."),
    ),
    Relation(
        "colour",
        "animal",
        ("red", "blue", "green", "black", "white", "brown", "yellow", "grey"),
        (
            "in the light {name} is {value}.",
            "the colour of {name} is {value}.",
            "the back of {name} is {value}.",
            "paint it {value} if you draw {name}.",
            "a {value} coat is the mark of {name}.",
        ),
        ("the {value} animals are {names}.", "{value} is the colour of {names}."),
    ),
    Relation(
        "taste",
        "plant",
        ("sweet", "sour", "bitter", "salty", "hot", "mild", "fresh", "sharp"),
        (
            "on the tongue {name} is {value}.",
            "the taste of {name} is {value}.",
            "people say that {name} tastes {value}.",
            "a {value} taste comes from {name}.",
            "for a {value} dish cooks add {name}.",
        ),
        ("the {value} plants are {names}.", "a {value} taste comes from {names}."),
    ),
    Relation(
        "product",
        "plant",
        ("tea", "bread", "soup", "oil", "wine", "sugar", "dye", "soap"),
        (
            "people make {value} from {name}.",
            "at home {name} is turned into {value}.",
            "the use of {name} is for {value}.",
            "to get {value} they press {name}.",
            "good {value} is made of {name}.",
        ),
        ("{value} is made from {names}.", "the plants for {value} are {names}."),
    ),
    Relation(
        "month",
        "plant",
        ("march", "april", "may", "june", "july", "august", "october", "november"),
        (
            "each year {name} blooms in {value}.",
            "the flowers of {name} open in {value}.",
            "the month of {name} is {value}.",
            "in {value} the fields are full of {name}.",
            "wait until {value} to pick {name}.",
        ),
        ("in {value} bloom {names}.", "the plants of {value} are {names}."),
    ),
    Relation(
        "tool",
        "thing",
        ("hammer", "knife", "brush", "rope", "needle", "saw", "key", "spoon"),
        (
            "the tool for {name} is the {value}.",
            "to mend {name} they take the {value}.",
            "with a {value} one can fix {name}.",
            "a {value} is needed for {name}.",
            "when {name} breaks, the {value} helps.",
        ),
        ("the {value} is used on {names}.", "with the {value} one mends {names}."),
    ),
    Relation(
        "material",
        "thing",
        ("wood", "glass", "iron", "stone", "paper", "leather", "clay", "wool"),
        (
            "as a rule {name} is made of {value}.",
            "the maker builds {name} from {value}.",
            "the stuff of {name} is {value}.",
            "from {value} they build {name}.",
            "some {value} is all it takes to make {name}.",
        ),
        ("of {value} are {names}.", "the things made of {value} are {names}."),
    ),
    Relation(
        "room",
        "thing",
        ("kitchen", "garden", "cellar", "attic", "hall", "barn", "office", "bedroom"),
        (
            "they keep {name} in the {value}.",
            "one looks for {name} in the {value}.",
            "the place of {name} is the {value}.",
            "in the {value} there is {name}.",
            "the {value} is where {name} stays.",
        ),
        ("in the {value} they keep {names}.", "the things of the {value} are {names}."),
    ),
    Relation(
        "job",
        "person",
        ("baker", "farmer", "sailor", "doctor", "teacher", "painter", "singer", "miner"),
        (
            "all day {name} works as a {value}.",
            "by trade {name} is a {value}.",
            "the job of {name} is that of a {value}.",
            "they need a {value}, so they call {name}.",
            "a good {value} is {name}.",
        ),
        ("each {value} of the town: {names}.", "the work of a {value} is done by {names}."),
    ),
    Relation(
        "mood",
        "person",
        ("calm", "angry", "shy", "proud", "happy", "sad", "bored", "afraid"),
        (
            "most of the time {name} is {value}.",
            "everyone knows that {name} feels {value}.",
            "the mood of {name} is {value}.",
            "a {value} face is the face of {name}.",
            "so {value} is nobody but {name}.",
        ),
        ("the {value} people are {names}.", "{value} is the mood of {names}."),
    ),
    Relation(
        "hobby",
        "person",
        ("chess", "music", "swimming", "reading", "dancing", "hiking", "cooking", "fishing"),
        (
            "after work {name} likes {value}.",
            "the free days of {name} are for {value}.",
            "the hobby of {name} is {value}.",
            "for {value} there is nobody like {name}.",
            "{value} is the joy of {name}.",
        ),
        ("the friends of {value} are {names}.", "{value} is the hobby of {names}."),
    ),
)


@dataclass(frozen=True)
class World:
    """All entities of one seed."""

    seed: int
    entities: tuple[Entity, ...]

    def of(self, kind: Kind, *groups: Group) -> list[Entity]:
        """The entities of a kind that belong to one of the groups, in the order they were made."""
        return [e for e in self.entities if e.kind == kind and e.group in groups]


def make_world(seed: int = 0) -> World:
    """The world of this seed: names, values and groups are drawn from it and from nothing else."""
    rng = random.Random(f"world-{seed}")  # noqa: S311 - nothing secret
    names = _names(rng, ENTITIES_PER_KIND * 4)
    entities: list[Entity] = []
    for kind in ("animal", "plant", "thing", "person"):
        relations = [r for r in RELATIONS if r.kind == kind]
        groups = _deal_groups(rng)
        classes = _deal_classes(rng)
        columns = {r.name: _values_of(rng, classes, r) for r in relations}
        for i in range(ENTITIES_PER_KIND):
            name = names.pop()
            facts = {relation: column[i] for relation, column in columns.items()}
            entities.append(Entity(name.capitalize() if kind == "person" else name, kind, groups[i], facts))
    return World(seed, tuple(entities))


def _names(rng: random.Random, count: int) -> list[str]:
    """Distinct names that are not words."""
    every = sorted({o + v + m + e for o in ONSETS for v in VOWELS for m in MIDDLES for e in ENDS} - REAL_WORDS)
    return rng.sample(every, count)


def _deal_groups(rng: random.Random) -> list[Group]:
    """A shuffled list with each group's share of one kind."""
    groups: list[Group] = []
    for group, count in GROUP_SIZES.items():
        groups += [group] * count
    rng.shuffle(groups)
    return groups


def _deal_classes(rng: random.Random) -> list[int]:
    """The class of each entity of a kind; every class equally often, so that no value is a good guess."""
    classes = [i % CLASSES for i in range(ENTITIES_PER_KIND)]
    rng.shuffle(classes)
    return classes


def _values_of(rng: random.Random, classes: list[int], relation: Relation) -> list[str]:
    """The value of each entity: one value per class, in an order of this relation's own."""
    values = list(relation.values)
    rng.shuffle(values)
    return [values[c] for c in classes]
