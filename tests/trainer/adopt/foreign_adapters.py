"""Adapters as other tools leave them: real PEFT's files, with the config keys and the other files that each tool writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Of unsloth's vision and text loader, and of ms-swift: the targets are one pattern.
UNSLOTH_PATTERN = (
    r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?(?:q_proj|k_proj|v_proj|o_proj|up_proj).*?)"
    r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\.(?:(?:q_proj|k_proj|v_proj|o_proj|up_proj)))"
)
SWIFT_PATTERN = r"^(model(?=\.).*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj))$"
UNSLOTH_MAPPING = {
    "base_model_class": "LlamaForCausalLM",
    "parent_library": "transformers.models.llama.modeling_llama",
    "unsloth_fixed": True,
}
# What each tool asks PEFT for, what it writes into the config beside that, and what it leaves beside the adapter.
TOOLS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "peft": ({"target_modules": ["q_proj", "v_proj"]}, {}, ()),
    "peft, all-linear": ({"target_modules": "all-linear"}, {}, ()),
    "peft, dora": ({"target_modules": ["q_proj", "up_proj"], "use_dora": True}, {}, ()),
    "peft, 2023": (
        {"target_modules": ["q_proj", "v_proj"]},
        {"enable_lora": None, "merge_weights": False, "fan_in_fan_out": False, "modules_to_save": None},
        (),
    ),
    "axolotl": (
        {"target_modules": list(LINEAR), "lora_dropout": 0.05},
        {},
        ("config.json", "tokenizer.json", "special_tokens_map.json", "README.md"),
    ),
    "llama-factory, rslora": (
        {"target_modules": list(LINEAR), "use_rslora": True, "r": 8, "lora_alpha": 16},
        {},
        ("training_args.bin", "trainer_state.json", "all_results.json", "train_results.json", "chat_template.jinja"),
    ),
    "unsloth": ({"target_modules": UNSLOTH_PATTERN}, {"auto_mapping": UNSLOTH_MAPPING}, ("tokenizer_config.json",)),
    "ms-swift": (
        {"target_modules": SWIFT_PATTERN},
        {},
        ("additional_config.json", "args.json", "optimizer.pt", "rng_state.pth", "scheduler.pt", "training_args.bin"),
    ),
    "patterns": (
        {
            "target_modules": list(LINEAR),
            "rank_pattern": {"q_proj": 2, r"model.layers.1.mlp.\w+_proj": 6},
            "alpha_pattern": {"v_proj": 3, "down_proj": 32},
        },
        {},
        (),
    ),
    "some layers": ({"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1, 3]}, {}, ()),
    "some layers, dora": ({"target_modules": ["q_proj"], "layers_to_transform": [0], "use_dora": True}, {}, ()),
    "not these": (
        {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["model.layers.2.self_attn.q_proj"]},
        {},
        (),
    ),
}


def train_a_little(base: Path, settings: dict[str, Any]) -> PeftModel:
    """PEFT's adapter of these settings on the base, B and magnitudes moved as training moves them."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **settings}))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
        if "magnitude" in name:
            parameter.data.mul_(1.0 + 0.1 * torch.randn_like(parameter))
    return adapted.eval()


def write(directory: Path, base: Path, tool: str) -> Path:
    """The directory as the tool leaves it; its pickles hold what would fail whoever opened them."""
    settings, more, others = TOOLS[tool]
    save(train_a_little(base, settings), directory, more)
    for name in others:
        (directory / name).write_bytes(b"not to be opened")
    return directory


def save(adapted: PeftModel, directory: Path, more: dict[str, Any]) -> Path:
    """PEFT's own files; `more` goes into the config."""
    adapted.save_pretrained(str(directory))
    config = directory / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | more))
    return directory


def change_config(directory: Path, **changes: Any) -> Path:
    """The same adapter with other keys in its config."""
    config = directory / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return directory
