"""Checks and loads the frozen base model and its tokenizer.

Everything that can be wrong is found on a model without weights (the meta device) before gigabytes are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from schemas.errors import UserError
from schemas.find_base import BaseModelFiles
from schemas.training.train_config import BaseModelConfig, TrainConfig


def load_tokenizer(files: BaseModelFiles, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a padding token (padding is masked everywhere, so which one it is changes nothing).

    Raises:
        UserError: there is none, or it has no end-of-sequence token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.directory, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the base model's tokenizer cannot be loaded: {reason}", where=files.directory) from None
    if tokenizer.eos_token_id is None:
        raise UserError("the base model's tokenizer has no end-of-sequence token", where=files.directory)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def skeleton(config_source: Path | str | Any, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model's modules on the meta device: every name and shape, no memory.

    Args:
        config_source: a model directory, or a transformers config object.
    """
    config = config_source
    if isinstance(config_source, str | Path):
        try:
            config = AutoConfig.from_pretrained(config_source, trust_remote_code=trust_remote_code)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"the base model's config.json is not understood: {reason}", where=config_source) from None
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"the base model is no causal language model: {reason}", where=config_source) from None
    return model


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a Llama-like model.

    Raises:
        UserError: the model has none at `model.layers`.
    """
    layers = getattr(getattr(model, "model", None), "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise UserError(
            f"{type(model).__name__} has no Llama-like list of decoder layers at model.layers",
            where="base.model",
            fix="Llama, Mistral, Qwen, Gemma, Phi and models built like them have one",
        )
    return layers


def check_fit(model: nn.Module, config: TrainConfig) -> None:
    """Refuses a config whose target modules or layers the model does not have; `model` may be a skeleton.

    Raises:
        UserError: a target module matches nothing, or a source or target layer lies outside the model.
    """
    layers = decoder_layers(model)
    linear = {name.rsplit(".", 1)[-1] for name, module in layers.named_modules() if isinstance(module, nn.Linear)}
    missing = [name for name in config.adapter.target_modules if name not in linear]
    if missing:
        raise UserError(
            f"adapter.target_modules names {', '.join(missing)}, which no linear module of the base is called",
            where=f"base.model: {config.base.model}",
            fix=f"the base has {', '.join(sorted(linear))}",
        )
    echo = config.echo_path
    for key, named in (("source_layers", echo and echo.source_layers), ("target_layers", echo and echo.target_layers)):
        outside = [layer for layer in named or () if not -len(layers) <= layer < len(layers)]
        if outside:
            raise UserError(
                f"echo.{key} names layer {', '.join(map(str, outside))}, but the base has {len(layers)} decoder layers",
                where=f"base.model: {config.base.model}",
                fix=f"use 0 to {len(layers) - 1}, or -{len(layers)} to -1 counted from the end",
            )


def load_base(files: BaseModelFiles, base: BaseModelConfig, device: torch.device) -> PreTrainedModel:
    """The frozen model with its weights (safetensors only) in `base.dtype`, on `device`."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        files.directory,
        dtype=getattr(torch, base.dtype),
        attn_implementation=base.attention,
        use_safetensors=True,
        trust_remote_code=base.trust_remote_code,
        quantization_config=_quantization(base),
        device_map={"": device} if base.quantization != "none" else None,
    )
    _keep_one_kernel(model)
    model.requires_grad_(False)
    model.config.use_cache = False
    return model if base.quantization != "none" else model.to(device)


def _keep_one_kernel(model: nn.Module) -> None:
    """On some processors bitsandbytes repacks nf4 weights for a coarser kernel once a model only infers, and loses
    digits when it packs them back; then what was trained, proven and saved would be three different models."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010


def _quantization(base: BaseModelConfig) -> Any:
    """bitsandbytes' nf4 with double quantisation, as QLoRA has it (arXiv 2305.14314)."""
    if base.quantization == "none":
        return None
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise UserError(
            "base.quantization: nf4 needs bitsandbytes", where="base.quantization", fix="pip install -e '.[qlora]'"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, base.dtype),
    )
