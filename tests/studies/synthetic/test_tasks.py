"""The invented worlds, their tasks and bases: disjoint, balanced, in the published format, and what the seed makes."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from studies.synthetic import corpus
from studies.synthetic.base import RECIPES, Course, make_base
from studies.synthetic.deepen import deepen
from studies.synthetic.tasks import TASK_SETS, TASKS, Split, make_records, make_tasks, make_validation
from studies.synthetic.varied_quizzes import EXERCISES
from studies.synthetic.world import RELATIONS, World, make_world

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
BASE = QUICKSTART / "base"
SPLITS = [
    (name, task, split) for name, chosen in TASK_SETS.items() for task in chosen.tasks for split in ("train", "test")
]
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
PUBLISHED_FORMATS["openbookqa"] = PUBLISHED_FORMATS["ARC-Challenge"] = PUBLISHED_FORMATS["ARC-Easy"]


@cache
def records(task: str, split: Split, task_set: str = "quickstart") -> list[dict[str, str]]:
    return make_records(make_world(), task, split, items=TASK_SETS[task_set].items)


@pytest.fixture(scope="module", params=TASK_SETS)
def task_set(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BASE)


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


def test_another_seed_makes_another_world(world: World) -> None:
    assert make_world(0) == world
    assert make_world(1) != world


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


def test_values_are_dealt_evenly(world: World) -> None:
    for relation in RELATIONS:
        counts = Counter(e.facts[relation.name] for e in world.entities if e.kind == relation.kind)
        assert set(counts) == set(relation.values)
        assert len(set(counts.values())) == 1


def test_the_shipped_base_is_small_and_loads() -> None:
    assert sum(p.stat().st_size for p in BASE.iterdir()) < 8_000_000
    model = AutoModelForCausalLM.from_pretrained(BASE)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert model.config.num_hidden_layers == RECIPES["quickstart"].layers
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(BASE))
    assert model.config.max_position_embeddings >= 512


@pytest.mark.parametrize("name", TASK_SETS)
def test_a_prompt_has_the_same_tokens_alone_and_before_its_answer(
    name: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    for task in TASK_SETS[name].tasks:
        for record in records(task, "test", name)[:20]:
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


@pytest.mark.parametrize("name", ["quickstart", "study_deep"])
def test_a_recipe_makes_the_same_base_twice(tmp_path: Path, name: str) -> None:
    recipe = replace(RECIPES[name], courses=(Course(2, 1024, corpus.INSTRUCTIONS),))
    for out in ("a", "b"):
        make_base(tmp_path / out, seed=3, recipe=recipe, start=BASE)
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_the_shipped_tokenizer(tmp_path: Path, recipe: str) -> None:
    make_base(tmp_path, recipe=replace(RECIPES[recipe], courses=()), start=BASE)
    assert (tmp_path / "tokenizer.json").read_bytes() == (BASE / "tokenizer.json").read_bytes()


def test_a_deepened_base_computes_the_same_and_can_learn_otherwise() -> None:
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    deeper = deepen(base).eval()
    assert len(deeper.model.layers) == 2 * len(base.model.layers)
    assert deeper.lm_head.weight is deeper.model.embed_tokens.weight
    ids = torch.arange(5, 25)[None]
    torch.testing.assert_close(deeper(ids).logits, base(ids).logits)
    deeper(ids, labels=ids).loss.backward()
    assert deeper.model.layers[1].mlp.down_proj.weight.grad.abs().max() > 0
