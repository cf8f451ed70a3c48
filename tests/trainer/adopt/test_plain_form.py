"""One rank and one alpha: what a module's update comes to stays what PEFT makes of the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from schemas.errors import UserError
from tests.trainer.adopt.foreign_adapters import change_config, save, train_a_little, write
from trainer.adopt.foreign_config import read_foreign_config
from trainer.adopt.foreign_weights import WEIGHTS, read_foreign_weights
from trainer.adopt.plain_form import PlainForm, as_peft_reads, linear_modules, plain_form


def plain(adapter: Path, base: Path) -> PlainForm:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    shapes = linear_modules(model)
    config = read_foreign_config(adapter / "adapter_config.json")
    weights = read_foreign_weights(adapter, shapes, use_dora=config.use_dora)
    adapted = as_peft_reads(model, config, weights, adapter)
    return plain_form(adapted, config, weights, shapes, adapter / WEIGHTS)


def update(form: PlainForm, module: str) -> torch.Tensor:
    a, b = (form.tensors[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")
    return form.alpha / form.rank * b @ a


@pytest.mark.parametrize(
    ("settings", "module", "scale"),
    [
        ({"use_rslora": True, "r": 4, "lora_alpha": 8}, "model.layers.0.self_attn.q_proj", 4.0),
        ({"alpha_pattern": {"q_proj": 2}}, "model.layers.2.self_attn.q_proj", 0.5),
        ({"rank_pattern": {"q_proj": 2}}, "model.layers.2.self_attn.q_proj", 4.0),
        ({"rank_pattern": {"q_proj": 2}, "use_rslora": True}, "model.layers.2.self_attn.v_proj", 4.0),
    ],
)
def test_an_update_is_scaled_as_the_config_says(
    tiny_base: Path, tmp_path: Path, settings: dict[str, Any], module: str, scale: float
) -> None:
    adapted = train_a_little(tiny_base, {"target_modules": ["q_proj", "v_proj"], **settings})
    save(adapted, tmp_path, {})
    came = safetensors.torch.load_file(tmp_path / WEIGHTS)
    a, b = (came[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")
    torch.testing.assert_close(update(plain(tmp_path, tiny_base), module), scale * b @ a)


def test_layers_without_an_adapter_are_filled_with_nothing(tiny_base: Path, tmp_path: Path) -> None:
    form = plain(write(tmp_path, tiny_base, "some layers"), tiny_base)
    assert form.targets == ("down_proj", "q_proj")
    assert not update(form, "model.layers.0.self_attn.q_proj").any()
    assert update(form, "model.layers.1.self_attn.q_proj").any()
    assert "4 modules without an adapter filled with zeros" in form.rewritten


def test_a_config_and_weights_of_two_trainings_do_not_fit(tiny_base: Path, tmp_path: Path) -> None:
    adapter = change_config(write(tmp_path, tiny_base, "peft"), r=16)
    with pytest.raises(UserError, match=r"is of rank 4, adapter_config.json says 16"):
        plain(adapter, tiny_base)


def test_weights_that_lack_modules_the_config_names_are_not_whole(tiny_base: Path, tmp_path: Path) -> None:
    adapter = change_config(write(tmp_path, tiny_base, "peft"), target_modules=["q_proj", "v_proj", "o_proj"])
    with pytest.raises(UserError, match=r"layers.0.self_attn.o_proj, which the weights lack, and 3 more"):
        plain(adapter, tiny_base)
