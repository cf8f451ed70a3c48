"""A random model of each family, as small as its code and vLLM's allow, with the tests' tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

ATTENTION_AND_MLP = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
_LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
_LONG_ROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 16, "long_factor": [2.0] * 16,
    "original_max_position_embeddings": 128,
}  # fmt: skip
# Of each family: transformers' model_type, and what sets it apart from a plain Llama.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 3.x": ("llama", {"rope_parameters": _LLAMA3_ROPE}),
    "SmolLM2": ("llama", {"tie_word_embeddings": True}),
    "SmolLM3": ("smollm3", {"no_rope_layers": [1, 1, 1, 0], "tie_word_embeddings": True}),
    "Mistral": ("mistral", {"sliding_window": 16}),
    "Qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "Qwen3": ("qwen3", {}),
    "Gemma": ("gemma", {"tie_word_embeddings": True}),
    "Gemma 2": ("gemma2", {"sliding_window": 16, "query_pre_attn_scalar": 32}),
    "Gemma 3": ("gemma3_text", {"sliding_window": 16, "query_pre_attn_scalar": 32}),
    "Phi-3": ("phi3", {"rope_parameters": _LONG_ROPE, "original_max_position_embeddings": 128}),
}


def targets(family: str) -> tuple[str, ...]:
    """Every linear module of a decoder layer."""
    return FUSED if family == "Phi-3" else ATTENTION_AND_MLP


def write_base(directory: Path, family: str, tokenizer_of: Path) -> Path:
    """The model's directory."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    kind, more = FAMILIES[family]
    config = AutoConfig.for_model(
        kind,
        **{
            "vocab_size": len(tokenizer) + 8,  # Qwen2's tokenizer adds a token
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "max_position_embeddings": 512,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **more,
        },
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
