"""The base's shape: read once, and what a config must find in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from schemas.training.echo_config import EchoConfig
from schemas.training.train_config import TrainConfig
from trainer.model.base_shape import check_fit, read_shape, source_layers, target_layers


def config(**changes: Any) -> TrainConfig:
    plain = {"name": "x", "method": "echo_lora", "base": {"model": "x"}, "data": {"train": ["x.json"]}, "echo": {}}
    return TrainConfig.parse({**plain, **changes}, where="test")


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def test_a_fitting_base_passes(tiny_base: Path) -> None:
    check_fit(read_shape(tiny_base), config(echo={"source_layers": [-1, 2], "target_layers": [0]}))


def test_target_modules_that_match_nothing_are_refused(tiny_base: Path) -> None:
    with pytest.raises(UserError, match="names qkv") as raised:
        check_fit(read_shape(tiny_base), config(adapter={"target_modules": ["qkv", "q_proj"]}))
    assert "down_proj" in str(raised.value.fix)


@pytest.mark.parametrize("layers", [[4], [-5], [0, 9]])
@pytest.mark.parametrize("key", ["source_layers", "target_layers"])
def test_layers_outside_the_model_are_refused(tiny_base: Path, key: str, layers: list[int]) -> None:
    with pytest.raises(UserError, match=f"{key} names layer"):
        check_fit(read_shape(tiny_base), config(echo={key: layers}))


def test_layers_are_not_checked_for_methods_without_echo(tiny_base: Path) -> None:
    check_fit(read_shape(tiny_base), config(method="lora", echo={"source_layers": [99]}))


def test_a_model_without_llama_like_layers_is_refused(copy: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 16}
    (copy / "config.json").write_text(json.dumps({**gpt2, "architectures": ["GPT2LMHeadModel"]}))
    with pytest.raises(UserError, match="no Llama-like list of decoder layers"):
        check_fit(read_shape(copy), config())


@pytest.mark.parametrize(
    ("text", "message"), [('{"model_type": "nonsense"}', "not understood"), ('{"model_type": "vit"}', "no causal")]
)
def test_an_unknown_or_wrong_kind_of_model_is_refused(copy: Path, text: str, message: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_shape(copy)


@pytest.mark.parametrize(
    ("depth", "sources", "targets"),
    [(32, [21, 24, 28, 31], range(16)), (12, [8, 9, 10, 11], range(6)), (4, [2, 3], range(2)), (1, [0], range(1))],
)
def test_default_layers_are_four_of_the_deepest_third_and_the_shallow_half(
    depth: int, sources: list[int], targets: range
) -> None:
    assert source_layers(EchoConfig(), depth) == sources
    assert target_layers(EchoConfig(), depth) == list(targets)


def test_layers_are_counted_from_either_end_and_must_exist() -> None:
    assert source_layers(EchoConfig(source_layers=(-8, -5)), 32) == [24, 27]
    with pytest.raises(UserError, match="names layer 32"):
        source_layers(EchoConfig(source_layers=(32,)), 32)
    with pytest.raises(UserError, match="twice"):
        target_layers(EchoConfig(target_layers=(0, -4)), 4)


def test_target_layers_without_an_adapted_module_are_refused(tiny_base: Path) -> None:
    shape = read_shape(tiny_base)
    deep = replace(shape, linear=tuple(module for module in shape.linear if module.layer > 1))
    with pytest.raises(UserError, match="no adapted module lies in the echo's target layers 0, 1"):
        check_fit(deep, config())


def test_a_shuffled_echo_refuses_micro_batches_of_one(tiny_base: Path) -> None:
    alone = config(echo={"content": "shuffled"}, training={"batch_size": 4, "micro_batch_size": 1})
    with pytest.raises(UserError, match="micro-batches of one"):
        check_fit(read_shape(tiny_base), alone)


def test_a_head_that_is_more_than_linear_is_refused(tiny_base: Path) -> None:
    shape = read_shape(tiny_base)
    shape.skeleton.config.final_logit_softcapping = 30.0
    with pytest.raises(UserError, match="softcapping"):
        check_fit(shape, config(method="lora"))
