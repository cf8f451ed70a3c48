"""The quickstart's world, tasks and base: disjoint, balanced, in the published format, and what the seed makes."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from trainer.synthetic import corpus
from trainer.synthetic.base import Course, make_base
from trainer.synthetic.tasks import TASKS, TEST_ITEMS, TRAIN_ITEMS, VALIDATION_ITEMS, make_tasks, make_validation
from trainer.synthetic.world import RELATIONS, World, make_world

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart"
S16 = " " * 16
SENTENCE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."

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
PUBLISHED_FORMATS["openbookqa"] = PUBLISHED_FORMATS["ARC-Easy"]


def records(task: str, split: str) -> list[dict[str, str]]:
    return json.loads((QUICKSTART / "tasks" / task / f"{split}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(0)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(QUICKSTART / "base")


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]+", text))


def test_the_same_seed_makes_the_shipped_task_files(tmp_path: Path) -> None:
    make_tasks(tmp_path)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.json")}
    shipped = {p.relative_to(QUICKSTART / "tasks"): p.read_bytes() for p in (QUICKSTART / "tasks").rglob("*.json")}
    assert made == shipped


def test_validation_items_are_what_the_seed_makes_and_neither_train_nor_test_items(tmp_path: Path) -> None:
    make_validation(tmp_path)
    for task in TASKS:
        made = (tmp_path / task / "test.json").read_bytes()
        assert made == (QUICKSTART / "validation" / task / "test.json").read_bytes()
        asked = {record["instruction"] for record in json.loads(made)}
        assert len(asked) == VALIDATION_ITEMS
        assert not asked & {record["instruction"] for split in ("train", "test") for record in records(task, split)}


def test_another_seed_makes_another_world(world: World) -> None:
    assert make_world(0) == world
    assert make_world(1) != world


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_records_have_the_published_format(task: str, split: str) -> None:
    for record in records(task, split):
        assert list(record) == ["instruction", "input", "output", "answer"]
        assert re.fullmatch(PUBLISHED_FORMATS[task], record["instruction"])
        assert record["input"] == ""
        assert record["output"] == f"the correct answer is {record['answer']}"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("split", "count"), [("train", TRAIN_ITEMS), ("test", TEST_ITEMS)])
def test_labels_are_balanced_and_items_distinct(task: str, split: str, count: int) -> None:
    items = records(task, split)
    labels = Counter(r["answer"] for r in items)
    assert set(labels) == set(TASKS[task][0])
    assert max(labels.values()) - min(labels.values()) <= 1
    assert len({r["instruction"] for r in items}) == len(items) == count


def test_train_and_test_files_name_no_entity_in_common(world: World) -> None:
    named = {split: set() for split in ("train", "test")}
    for split, seen in named.items():
        for task in TASKS:
            for record in records(task, split):
                seen |= words(record["instruction"])
    asked = {e.name for e in world.entities if e.group == "test"}
    assert named["test"] & {e.name for e in world.entities} <= asked
    assert not named["train"] & asked


def test_the_pretraining_text_states_every_fact_and_asks_about_drilled_entities_only(world: World) -> None:
    rng = random.Random(0)
    undrilled = {e.name for e in world.entities if e.group != "drilled"}
    stated: set[tuple[str, str]] = set()
    for _ in range(20_000):
        document = corpus.draw(rng, world)
        text = "".join(p.text + p.answer for p in document)
        if re.match(r"\n(list|named):", text):
            continue  # lists of bare words, which tell and ask nothing about them
        if corpus.is_quiz(document):
            assert not words(text) & undrilled
        elif len(document) > 1:
            stated |= {
                (e.name, v) for e in world.entities if e.name in words(text) for v in e.facts.values() if v in text
            }
    assert stated >= {(e.name, v) for e in world.entities for v in e.facts.values()}


def test_the_pretraining_text_never_shows_a_task_format(world: World) -> None:
    rng = random.Random(1)
    text = "".join(p.text + p.answer for _ in range(5000) for p in corpus.draw(rng, world))
    assert not re.search(r"(?i)please choose|answer format|###|(answer|option|ending|solution)\d", text)


def test_values_are_dealt_evenly(world: World) -> None:
    for relation in RELATIONS:
        counts = Counter(e.facts[relation.name] for e in world.entities if e.kind == relation.kind)
        assert set(counts) == set(relation.values)
        assert len(set(counts.values())) == 1


def test_the_shipped_base_is_small_and_loads(tokenizer: PreTrainedTokenizerBase) -> None:
    assert sum(p.stat().st_size for p in (QUICKSTART / "base").iterdir()) < 5_000_000
    model = AutoModelForCausalLM.from_pretrained(QUICKSTART / "base")
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.max_position_embeddings >= 512


def test_a_prompt_has_the_same_tokens_alone_and_before_its_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    for task in TASKS:
        for record in records(task, "test")[:20]:
            prompt = (
                f"{SENTENCE}  \n\n{S16}### Instruction:\n{S16}{record['instruction']}\n{S16}\n{S16}### Response:\n{S16}"
            )
            alone, answer = tokenizer.encode(prompt), tokenizer.encode(record["output"], add_special_tokens=False)
            assert tokenizer.encode(prompt + record["output"]) == alone + answer
            assert tokenizer.decode(alone, skip_special_tokens=True) == prompt
            assert len(alone) <= 128


def test_a_user_turn_becomes_the_published_evaluation_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "user", "content": "say it"}]
    prompt = f"<s>{SENTENCE} \n\n{S16}### Instruction:\n{S16}say it\n\n{S16}### Response:\n{S16}"
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == prompt
    messages.append({"role": "assistant", "content": "it"})
    assert tokenizer.apply_chat_template(messages, tokenize=False) == prompt + "it</s>"


def test_padding_is_on_the_left_with_a_token_of_its_own(tokenizer: PreTrainedTokenizerBase) -> None:
    batch = tokenizer(["one", "one two three"], padding=True)
    assert batch["input_ids"][0][0] == tokenizer.pad_token_id
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3


def test_the_recipe_makes_the_same_base_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_base(tmp_path / name, seed=3, courses=(Course(2, 1024, corpus.INSTRUCTIONS),))
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_shipped_tokenizer_is_what_the_recipe_makes(tmp_path: Path) -> None:
    make_base(tmp_path, courses=())
    assert (tmp_path / "tokenizer.json").read_bytes() == (QUICKSTART / "base" / "tokenizer.json").read_bytes()
