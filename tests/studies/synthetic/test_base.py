"""The bases: a recipe makes the same one twice, and the shipped one is what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from studies.synthetic import corpus
from studies.synthetic.base import RECIPES, Course, make_base

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
BASE = QUICKSTART / "base"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BASE)


def test_the_shipped_base_is_small_and_loads() -> None:
    assert sum(p.stat().st_size for p in BASE.iterdir()) < 8_000_000
    model = AutoModelForCausalLM.from_pretrained(BASE)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert model.config.num_hidden_layers == RECIPES["quickstart"].layers
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(BASE))
    assert model.config.max_position_embeddings >= 512


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
