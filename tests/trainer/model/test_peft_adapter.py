"""PEFT's own adapter on the base: only it is trainable, in float32, from the run's seed, under the user's name for the base."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from trainer.model.peft_adapter import attach_adapter, lora_config


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_bfloat16_base_gets_a_float32_adapter_and_stays_frozen(objectives: ModuleType, method: str) -> None:
    model = attach_adapter(objectives.base_model().bfloat16(), objectives.train_config(method))
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trainable
    assert all("lora_" in name and parameter.dtype == torch.float32 for name, parameter in trainable.items())
    assert any("magnitude" in name for name in trainable) == (method == "dora")


def test_the_same_seed_is_the_same_adapter_whatever_ran_before(objectives: ModuleType) -> None:
    states = []
    for noise in (1, 2):
        base = objectives.base_model()
        torch.manual_seed(noise)
        model = attach_adapter(base, objectives.train_config())
        states.append({name: p for name, p in model.named_parameters() if p.requires_grad})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_config_names_the_base_as_the_user_does(objectives: ModuleType) -> None:
    config = lora_config(objectives.train_config("dora", base={"model": "org/base", "revision": "abc"}))
    assert (config.base_model_name_or_path, config.revision, config.use_dora) == ("org/base", "abc", True)
    assert config.target_modules == {"q_proj", "k_proj", "v_proj", "up_proj", "down_proj"}
