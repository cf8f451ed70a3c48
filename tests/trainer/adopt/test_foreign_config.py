"""adapter_config.json of a stranger: every key is taken, harmless, or refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from trainer.adopt.foreign_config import ForeignConfig, read_foreign_config

PLAIN = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}


def read(tmp_path: Path, **changes: Any) -> ForeignConfig:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(PLAIN | changes))
    return read_foreign_config(path)


def test_what_is_taken_is_what_peft_needs(tmp_path: Path) -> None:
    config = read(tmp_path, use_rslora=True, rank_pattern={"v_proj": 4}, base_model_name_or_path="org/base")
    assert (config.rank, config.alpha, config.use_rslora, config.use_dora) == (8, 16, True, False)
    assert (config.rank_pattern, config.targets, config.base_as_named) == ({"v_proj": 4}, ("q_proj",), "org/base")


@pytest.mark.parametrize(
    "more",
    [{"target_modules": "all-linear"}, {"layers_to_transform": [1]}, {"exclude_modules": ["model.layers.0.mlp"]}],
)
def test_targets_that_are_no_list_of_every_module_are_left_to_the_weights(tmp_path: Path, more: dict[str, Any]) -> None:
    assert read(tmp_path, **more).targets is None


@pytest.mark.parametrize(
    "harmless",
    [
        {"auto_mapping": {"base_model_class": "os.system", "unsloth_fixed": True}},
        {"init_lora_weights": "gaussian", "eva_config": None, "loftq_config": {}, "corda_config": None},
        {
            "inference_mode": False,
            "revision": "main",
            "lora_dropout": 0.1,
            "runtime_config": {"ephemeral_gpu_offload": False},
        },
        {"enable_lora": None, "merge_weights": False, "modules_to_save": []},
    ],
)
def test_what_changes_nothing_is_passed_over(tmp_path: Path, harmless: dict[str, Any]) -> None:
    assert read(tmp_path, **harmless).rank == 8


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"modules_to_save": ["lm_head", "embed_tokens"]}, "modules_to_save = .*replaces whole modules"),
        ({"trainable_token_indices": {"embed_tokens": [1]}}, "trainable_token_indices .*single tokens"),
        ({"target_parameters": ["mlp.experts.down_proj"]}, "target_parameters .*experts"),
        ({"layer_replication": [[0, 2]]}, "layer_replication .*repeats layers"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens .*certain tokens"),
        ({"lora_bias": True}, "lora_bias .*bias beside A and B"),
        ({"use_qalora": True}, "use_qalora"),
        ({"a_key_of_tomorrow": "x"}, "a_key_of_tomorrow .*no setting of a plain LoRA"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4.*changes the base under it"),
        ({"bias": "all"}, "bias: "),
        ({"peft_type": "IA3"}, "peft_type: "),
        ({"task_type": "SEQ_CLS"}, "task_type: "),
        ({"r": True}, "r: "),
        ({"r": 0}, "r: "),
        ({"lora_alpha": -1}, "lora_alpha: "),
        ({"rank_pattern": {"q_proj": "4"}}, "rank_pattern.q_proj: "),
        ({"alpha_pattern": {"(a+)+b": 4}}, "take for ever"),
        ({"rank_pattern": {".*a.*b.*c.*d.*e.*f": 4}}, "take for ever"),
        ({"rank_pattern": {"(": 4}}, "take for ever"),
    ],
)
def test_what_goes_beyond_lora_is_refused_by_name(tmp_path: Path, more: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named) as raised:
        read(tmp_path, **more)
    assert raised.value.where == tmp_path / "adapter_config.json"
    assert raised.value.fix
