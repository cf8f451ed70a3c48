"""Finds, checks and loads the frozen base model and its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from schemas.base.base_model import read_config
from schemas.base.base_weights import require_loaded, require_matching
from schemas.base.context_window import context_window
from schemas.base.find_base import BaseModelFiles, find_base
from schemas.errors import UserError
from schemas.training.train_config import BaseModelConfig, TrainConfig
from trainer.model.base_shape import BaseShape, check_fit, read_shape


@dataclass(frozen=True)
class Base:
    """A run's base model, found, read and checked, its weights still on the disk."""

    files: BaseModelFiles
    """Where it lies."""
    shape: BaseShape
    """Its modules."""
    tokenizer: PreTrainedTokenizerBase
    """Its tokenizer, which has a padding token."""

    @property
    def window(self) -> int | None:
        """Longest input in tokens that it was made for; None where its config does not say."""
        return context_window(read_config(self.files.directory))


def read_base(config: TrainConfig) -> Base:
    """The base of a run.

    Raises:
        UserError: it cannot be had, its weight files or the config do not fit it, or its tokenizer is of no use.
    """
    if config.base.attention == "flash_attention_2" and not (find_spec("flash_attn") or find_spec("kernels")):
        raise UserError(
            "base.attention: flash_attention_2 needs the package flash-attn", where="base.attention", fix="use sdpa"
        )
    base = read_any_base(config.base)
    check_fit(base.shape, config)
    return base


def read_any_base(config: BaseModelConfig) -> Base:
    """A base model, whatever is to be done with it.

    Raises:
        UserError: it cannot be had, its weight files are not its own, or its tokenizer is of no use.
    """
    files = find_base(config.model, config.revision)
    shape = read_shape(files.directory, trust_remote_code=config.trust_remote_code)
    require_matching(shape.skeleton, files.directory)
    tokenizer = load_tokenizer(files, trust_remote_code=config.trust_remote_code)
    _require_embedded(tokenizer, shape, files)
    return Base(files, shape, tokenizer)


def _require_embedded(tokenizer: PreTrainedTokenizerBase, shape: BaseShape, files: BaseModelFiles) -> None:
    """Padding with a token that the embedding has not would end the first batch, here as in an evaluation."""
    for role in ("pad", "eos", "bos", "unk"):
        token = getattr(tokenizer, f"{role}_token_id")
        if token is not None and token >= shape.vocabulary:
            raise UserError(
                f"the tokenizer's {role} token {getattr(tokenizer, f'{role}_token')} is token {token}, "
                f"the base's embedding has {shape.vocabulary} rows",
                where=files.directory,
                fix="name a token that the base knows in tokenizer_config.json, or resize the base's embedding",
            )


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


def load_base(files: BaseModelFiles, base: BaseModelConfig, device: torch.device) -> PreTrainedModel:
    """The frozen model with its weights (safetensors only) in `base.dtype`, on `device`.

    Raises:
        UserError: a tensor of the model is not in the files, or the other way round.
    """
    model: PreTrainedModel
    model, found = AutoModelForCausalLM.from_pretrained(
        files.directory,
        dtype=getattr(torch, base.dtype),
        attn_implementation=base.attention,
        use_safetensors=True,
        trust_remote_code=base.trust_remote_code,
        quantization_config=_quantization(base),
        device_map={"": device} if base.quantization != "none" else None,
        output_loading_info=True,
    )
    require_loaded(found, files.directory)
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
