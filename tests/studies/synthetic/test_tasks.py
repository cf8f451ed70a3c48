"""The invented worlds, their tasks and bases: disjoint, balanced, in the published format, and what the seed makes."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from studies.synthetic.tasks import TASK_SETS, TASKS, make_tasks, make_validation
from studies.synthetic.world import World, make_world
from tests.studies.synthetic.records import records

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
SPLITS = [
    (name, task, split) for name, chosen in TASK_SETS.items() for task in chosen.tasks for split in ("train", "test")
]
PUBLISHED_FORMATS = {
    "boolq": r"Please answer the following question with true or false, question: [^\n]+\n\nAnswer format: true/false",
    "piqa": r"Please choose the correct solution to the question: [^\n]+\n\nSolution1: [^\n]+\n\nSolution2: [^\n]+\n\n"
    r"Answer format: solution1/solution2",
    "social_i_qa": r"Please choose the correct answer to the question: [^\n]+\n\nAnswer1: [^\n]+ Answer2: [^\n]+ Answer3: "
    r"[^\n]+\n\nAnswer format: answer1/answer2/answer3",
    "hellaswag": r"Please choose the correct ending to complete the given sentence: [^\n:]+: [^\n]+\n\nEnding1: [^\n]+ "
    r"Ending2: [^\n]+ Ending3: [^\n]+ Ending4: [^\n]+\n\nAnswer format: ending1/ending2/ending3/ending4",
    "winogrande": r"Please choose the correct answer to fill in the blank to complete the given sentence: [^\n]+_[^\n]+\n\n"
    r"Option1: [^\n]+ Option2: [^\n]+ Answer format: option1/option2",
    "ARC-Easy": r"Please choose the correct answer to the question: [^\n]+\n\nAnswer1: [^\n]+ Answer2: [^\n]+ Answer3: [^\n]+ "
    r"Answer4: [^\n]+\n\nAnswer format: answer1/answer2/answer3/answer4",
}
PUBLISHED_FORMATS["openbookqa"] = PUBLISHED_FORMATS["ARC-Challenge"] = PUBLISHED_FORMATS["ARC-Easy"]


@pytest.fixture(scope="module", params=TASK_SETS)
def task_set(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]+", text))


def test_the_same_seed_makes_the_shipped_task_files(tmp_path: Path) -> None:
    make_tasks(tmp_path)
    shipped = QUICKSTART / "tasks"
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.json")}
    assert made == {p.relative_to(shipped): p.read_bytes() for p in shipped.rglob("*.json")}


def test_the_same_seed_makes_the_shipped_validation_items(tmp_path: Path) -> None:
    make_validation(tmp_path)
    for path in tmp_path.rglob("*.json"):
        assert path.read_bytes() == (QUICKSTART / "validation" / path.relative_to(tmp_path)).read_bytes()


def test_validation_items_are_neither_train_nor_test_items(tmp_path: Path, task_set: str) -> None:
    make_validation(tmp_path, task_set=task_set)
    chosen = TASK_SETS[task_set]
    for task in chosen.tasks:
        asked = {record["instruction"] for record in json.loads((tmp_path / task / "test.json").read_text())}
        assert len(asked) == chosen.items["validation"]
        others = {record["instruction"] for split in ("train", "test") for record in records(task, split, task_set)}
        assert not asked & others


@pytest.mark.parametrize(("name", "task", "split"), SPLITS)
def test_records_have_the_published_format(name: str, task: str, split: str) -> None:
    for record in records(task, split, name):
        assert list(record) == ["instruction", "input", "output", "answer"]
        assert re.fullmatch(PUBLISHED_FORMATS[task], record["instruction"])
        assert record["input"] == ""
        assert record["output"] == f"the correct answer is {record['answer']}"


@pytest.mark.parametrize(("name", "task", "split"), SPLITS)
def test_labels_are_balanced_and_items_distinct(name: str, task: str, split: str) -> None:
    items = records(task, split, name)
    labels = Counter(r["answer"] for r in items)
    assert set(labels) == set(TASKS[task][0])
    assert max(labels.values()) - min(labels.values()) <= 1
    assert len({r["instruction"] for r in items}) == len(items) == TASK_SETS[name].items[split]


def test_the_challenge_has_one_right_choice_that_takes_two_facts() -> None:
    facts = {e.name: e.facts for e in make_world().entities}
    for record in records("ARC-Challenge", "test", "study"):
        question, choices = record["instruction"].split("\n\n")[:2]
        asked = next(word for word in re.findall(r"[a-z]+", question) if word in facts)
        options = re.findall(r"Answer\d: (\w+)", choices)
        right = options.pop(int(record["answer"][-1]) - 1)
        assert right != asked
        assert facts[right] == facts[asked]
        assert all(not set(facts[option].values()) & set(facts[asked].values()) for option in options)


def test_train_and_test_files_name_no_entity_in_common(world: World, task_set: str) -> None:
    named = {split: set() for split in ("train", "test")}
    for split, seen in named.items():
        for task in TASK_SETS[task_set].tasks:
            for record in records(task, split, task_set):
                seen |= words(record["instruction"])
    asked = {e.name for e in world.entities if e.group == "test"}
    assert named["test"] & {e.name for e in world.entities} <= asked
    assert not named["train"] & asked
