"""Puts PEFT's own LoRA or DoRA adapter onto the base."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel

from schemas.base.find_base import BaseModelFiles
from schemas.training.train_config import TrainConfig
from trainer.model.base_model import load_base


def lora_config(config: TrainConfig) -> LoraConfig:
    """PEFT's config of the adapter that ships."""
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.adapter.rank,
        lora_alpha=config.adapter.alpha,
        lora_dropout=config.adapter.dropout,
        target_modules=sorted(config.adapter.target_modules),
        use_dora=config.use_dora,
        base_model_name_or_path=config.base.model,
        revision=config.base.revision,
    )


def load_with_adapter(files: BaseModelFiles, config: TrainConfig, device: torch.device) -> PeftModel:
    """The run's base with its weights on the device, and a fresh adapter on it."""
    return attach_adapter(load_base(files, config.base, device), config)


def attach_adapter(model: PreTrainedModel, config: TrainConfig) -> PeftModel:
    """The base with a fresh float32 adapter, initialised from the run's seed; only the adapter is trainable."""
    torch.manual_seed(config.seed)
    # PEFT writes this name into adapter_config.json: the user's name for the base, not a path inside the hub's cache.
    model.name_or_path = config.base.model
    peft_model: PeftModel = get_peft_model(model, lora_config(config), autocast_adapter_dtype=True)
    for parameter in peft_model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return peft_model
