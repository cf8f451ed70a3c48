"""What a run will need of memory and disk, from the modules' shapes alone.

Legend: B samples of a micro-batch, T tokens, H heads, D head size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from schemas.training.train_config import TrainConfig
from trainer.echo.objective import Objective, build_objective
from trainer.model.base_model import decoder_layers
from trainer.model.peft_adapter import attach_adapter

_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a nibble, and the doubly quantised scale of each 64
_FLOAT = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes, by what they are for.

    Attributes:
        adapter_parameters: values that ship.
        echo_parameters: values trained beside them.
        memory: item to bytes while training, per process.
        disk: item to bytes at most at once.
    """

    adapter_parameters: int
    echo_parameters: int
    memory: dict[str, int]
    disk: dict[str, int]


def footprint(base: PreTrainedModel, config: TrainConfig, *, micro_batch: int, tokens: int) -> Footprint:
    """Estimates one process's memory and the run directory's size.

    Args:
        base: the base model on the meta device; it is adapted in place.
        config: the run.
        micro_batch: B.
        tokens: T of the longest samples.
    """
    weights = _weight_bytes(base, config)
    activations = _activation_bytes(base, config, micro_batch, tokens)
    objective = _objective(base, config)
    adapter = sum(p.numel() for p in objective.model.parameters() if p.requires_grad)
    echo = sum(p.numel() for p in objective.echo.parameters()) if objective.echo is not None else 0
    trained = (adapter + echo) * _FLOAT
    memory = {
        "base weights": weights,
        "adapter and echo weights": trained,
        "their gradients": trained,
        "their AdamW moments": 2 * trained,
        f"activations ({micro_batch} x {tokens} tokens)": activations,
    }
    checkpoint = 3 * trained
    disk = {
        "adapter": adapter * _FLOAT,
        f"checkpoints ({config.training.keep_checkpoints}, and one being written)": checkpoint
        * (config.training.keep_checkpoints + 1),
    }
    return Footprint(adapter, echo, memory, disk)


def _objective(base: PreTrainedModel, config: TrainConfig) -> Objective:
    base.requires_grad_(False)
    with torch.device("meta"):
        return build_objective(attach_adapter(base, config), config)


def _weight_bytes(base: PreTrainedModel, config: TrainConfig) -> int:
    """nf4 stores the linear modules of the decoder layers; everything else keeps the config's dtype."""
    size: int = getattr(torch, config.base.dtype).itemsize
    every: int = sum(parameter.numel() for parameter in base.parameters())
    if config.base.quantization == "none":
        return every * size
    linear = [module for module in decoder_layers(base).modules() if isinstance(module, nn.Linear)]
    packed: int = sum(module.weight.numel() for module in linear)
    return int(packed * _NF4_BYTES) + (every - packed) * size


def _activation_bytes(base: PreTrainedModel, config: TrainConfig, micro_batch: int, tokens: int) -> int:
    """What autograd keeps of the plain pass; with gradient checkpointing, of one layer and every layer's input.

    DoRA's fast forward keeps the frozen product of each adapted module besides what LoRA keeps.
    """
    layers = decoder_layers(base)
    kept = _saved_bytes(copy.deepcopy(base), config, micro_batch, tokens)
    size: int = getattr(torch, config.base.dtype).itemsize
    if config.use_dora:
        adapted = [m for n, m in layers.named_modules() if n.rsplit(".", 1)[-1] in config.adapter.target_modules]
        kept += micro_batch * tokens * size * sum(m.out_features for m in adapted if isinstance(m, nn.Linear))
    if not config.training.gradient_checkpointing:
        return kept
    width: int = base.config.get_text_config().hidden_size
    return kept // len(layers) + len(layers) * micro_batch * tokens * width * size


def _saved_bytes(base: PreTrainedModel, config: TrainConfig, micro_batch: int, tokens: int) -> int:
    """Runs the plain forward pass of base and LoRA on the meta device and adds up what is saved for backward."""
    AttentionInterface.register("fused_on_meta", _fused_attention)
    base.config._attn_implementation = "fused_on_meta"
    base.to(getattr(torch, config.base.dtype)).requires_grad_(False)
    with torch.device("meta"):
        model = attach_adapter(base, config.model_copy(update={"method": "lora"})).train()
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    ids = torch.zeros(micro_batch, tokens, dtype=torch.int64, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = base.model(input_ids=ids, use_cache=False)
    del outputs
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _fused_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention whose saved tensors are those of a fused kernel; [B, H, T, D] in, [B, T, H, D] out."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return fused(query, key, value, 0.0, True, scale=scaling)[0].transpose(1, 2), None
