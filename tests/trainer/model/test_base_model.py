from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from schemas.errors import UserError
from schemas.find_base import find_base
from schemas.training.train_config import BaseModelConfig, TrainConfig
from trainer.model.base_model import check_fit, load_base, load_tokenizer, skeleton


def config(**changes: Any) -> TrainConfig:
    plain = {"name": "x", "method": "echo_lora", "base": {"model": "x"}, "data": {"train": ["x.json"]}, "echo": {}}
    return TrainConfig.parse({**plain, **changes}, where="test")


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def test_a_fitting_base_passes(tiny_base: Path) -> None:
    check_fit(skeleton(tiny_base), config(echo={"source_layers": [-1, 3], "target_layers": [0]}))


def test_target_modules_that_match_nothing_are_refused(tiny_base: Path) -> None:
    with pytest.raises(UserError, match="names qkv") as raised:
        check_fit(skeleton(tiny_base), config(adapter={"target_modules": ["qkv", "q_proj"]}))
    assert "down_proj" in str(raised.value.fix)


@pytest.mark.parametrize("layers", [[4], [-5], [0, 9]])
@pytest.mark.parametrize("key", ["source_layers", "target_layers"])
def test_layers_outside_the_model_are_refused(tiny_base: Path, key: str, layers: list[int]) -> None:
    with pytest.raises(UserError, match=f"{key} names layer"):
        check_fit(skeleton(tiny_base), config(echo={key: layers}))


def test_layers_are_not_checked_for_methods_without_echo(tiny_base: Path) -> None:
    check_fit(skeleton(tiny_base), config(method="lora", echo={"source_layers": [99]}))


def test_a_model_without_llama_like_layers_is_refused(copy: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 16}
    (copy / "config.json").write_text(json.dumps({**gpt2, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(UserError, match="no Llama-like list of decoder layers"):
        check_fit(skeleton(copy), config())


@pytest.mark.parametrize(
    ("text", "message"), [('{"model_type": "nonsense"}', "not understood"), ('{"model_type": "vit"}', "no causal")]
)
def test_an_unknown_or_wrong_kind_of_model_is_refused(copy: Path, text: str, message: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        skeleton(copy)


def test_pickled_weights_are_not_read(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="no safetensors"):
        find_base(copy)


def test_weights_are_loaded_frozen_in_the_configs_type(tiny_base: Path) -> None:
    base = BaseModelConfig(model=str(tiny_base), dtype="bfloat16")
    model = load_base(find_base(base.model), base, torch.device("cpu"))
    assert {(p.dtype, p.requires_grad) for p in model.parameters()} == {(torch.bfloat16, False)}


def test_a_tokenizer_without_padding_gets_some_and_one_without_end_is_refused(copy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    files = find_base(copy)
    assert load_tokenizer(files).pad_token_id == tokenizer.eos_token_id
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(UserError, match="no end-of-sequence"):
        load_tokenizer(files)
