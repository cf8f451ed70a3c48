"""What a run will need of memory and disk, from the modules' shapes alone.

Legend: B samples of a micro-batch, T tokens, H heads, D head size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.moe import ExpertsInterface

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.model.base_shape import BaseShape, target_layers
from trainer.model.peft_adapter import attach_adapter

_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a nibble, and the doubly quantised scale of each 64
_FLOAT = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes, by what they are for."""

    adapter_parameters: int
    """Values that ship."""
    echo_parameters: int
    """Values trained beside them."""
    memory: dict[str, int]
    """Item to bytes while training, per process."""
    disk: dict[str, int]
    """Item to bytes at most at once."""


def certain_needs(shape: BaseShape, config: TrainConfig, *, processes: int = 1) -> Footprint:
    """What must be there all at once in one process, and the run directory's size; activations come on top.

    Args:
        shape: the base model's shape.
        config: the run.
        processes: of the launch; with `training.sharding: fsdp` each holds its share of weights, gradients and moments.
    """
    adapter, echo = adapter_parameters(shape, config), echo_parameters(shape, config)
    trained = (adapter + echo) * _FLOAT
    shards = processes if config.training.sharding == "fsdp" else 1
    memory = {
        "base weights": _weight_bytes(shape, config) // shards,
        "adapter and echo weights": trained // shards,
        "their gradients": trained // shards,
        "their AdamW moments": 2 * trained // shards,
    }
    checkpoint = 3 * trained
    disk = {
        "adapter": adapter * _FLOAT,
        f"checkpoints ({config.training.keep_checkpoints}, and one being written)": checkpoint
        * (config.training.keep_checkpoints + 1),
    }
    return Footprint(adapter, echo, memory, disk)


def footprint(shape: BaseShape, config: TrainConfig, *, micro_batch: int, tokens: int) -> Footprint:
    """The certain needs of one process alone, and its activations.

    Args:
        shape: the base model's shape.
        config: the run.
        micro_batch: B.
        tokens: T of the longest samples.
    """
    needs = certain_needs(shape, config)
    activations = _activation_bytes(shape, config, micro_batch, tokens)
    return replace(needs, memory=needs.memory | {f"activations ({micro_batch} x {tokens} tokens)": activations})


def adapter_parameters(shape: BaseShape, config: TrainConfig) -> int:
    """Values of A and B of every adapted module, and of DoRA's magnitude."""
    rank = config.adapter.rank
    return sum(
        rank * (m.inputs + m.outputs) + m.outputs * config.use_dora for m in shape.named(config.adapter.target_modules)
    )


def echo_parameters(shape: BaseShape, config: TrainConfig) -> int:
    """Values of the networks of every target module (trainer/echo/injector.py), and of a constant echo."""
    echo = config.echo_path
    if echo is None or echo.content == "none":
        return 0
    targets = target_layers(echo, shape.depth)
    features = (
        module.outputs if echo.place == "output" else config.adapter.rank
        for module in shape.named(config.adapter.target_modules)
        if module.layer in targets
    )
    networks = (2 * echo.bottleneck * (shape.width + wide) + wide + echo.learn_scale for wide in features)
    return sum(networks) + shape.width * (echo.content == "constant")


def _weight_bytes(shape: BaseShape, config: TrainConfig) -> int:
    """nf4 stores the linear modules of the decoder layers; everything else keeps the config's dtype."""
    size: int = getattr(torch, config.base.dtype).itemsize
    if config.base.quantization == "none":
        return shape.parameters * size
    packed = sum(module.inputs * module.outputs for module in shape.linear)
    return int(packed * _NF4_BYTES) + (shape.parameters - packed) * size


def _activation_bytes(shape: BaseShape, config: TrainConfig, micro_batch: int, tokens: int) -> int:
    """What autograd keeps of the plain pass; with gradient checkpointing, of one layer and every layer's input.

    DoRA's fast forward keeps the frozen product of each adapted module besides what LoRA keeps.
    """
    kept = _saved_bytes(copy.deepcopy(shape.skeleton), config, micro_batch, tokens)
    size: int = getattr(torch, config.base.dtype).itemsize
    if config.use_dora:
        kept += (
            micro_batch * tokens * size * sum(module.outputs for module in shape.named(config.adapter.target_modules))
        )
    if not config.training.gradient_checkpointing:
        return kept
    return kept // shape.depth + shape.depth * micro_batch * tokens * shape.width * size


def _saved_bytes(base: PreTrainedModel, config: TrainConfig, micro_batch: int, tokens: int) -> int:
    """Runs the plain forward pass of base and LoRA on the meta device and adds up what is saved for backward."""
    AttentionInterface.register("fused_on_meta", _fused_attention)
    ExpertsInterface.register("grouped_on_meta", _grouped_experts)
    base.config._attn_implementation = "fused_on_meta"
    base.config._experts_implementation = "grouped_on_meta"
    _keep_rotary_tables(base)
    base.to(getattr(torch, config.base.dtype)).requires_grad_(False)
    with torch.device("meta"):
        model = attach_adapter(base, config.model_copy(update={"method": "lora"})).train()
    if config.training.autocast == config.base.dtype == "bfloat16":
        model.to(torch.bfloat16)  # the adapter computes in what autocast casts to, and nothing is cast for it
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage()._cdata not in own:
            saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    ids = torch.zeros(micro_batch, tokens, dtype=torch.int64, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        try:
            outputs = base.model(input_ids=ids, use_cache=False)
        except Exception as error:  # an architecture whose code looks at values, of which the meta device has none
            raise UserError(
                f"the activations of {type(base).__name__} cannot be estimated: {str(error).splitlines()[0][:200]}",
                where="base.model",
                fix="train a few steps (--training.max_steps 3) and look at the memory in use",
            ) from None
    del outputs
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _keep_rotary_tables(base: PreTrainedModel) -> None:
    """Dynamic and long rotary embeddings choose their table by the longest position, which the meta device does not know;
    every table has the same shape."""
    for module in base.modules():
        kinds = getattr(module, "rope_type", None)
        if isinstance(kinds, str):
            module.rope_type = "default"
        elif isinstance(kinds, dict):
            module.rope_type = dict.fromkeys(kinds, "default")


def _grouped_experts(
    experts: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Experts whose saved tensors are those of a grouped product: each token once per expert that it is sent to.

    Which expert does not matter for their size, so that all are sent to the first; [B*T, D] in and out.
    """
    chosen = top_k_index.size(-1)

    def first(weight: torch.Tensor) -> torch.Tensor:
        return weight[0] if experts.is_transposed else weight[0].T

    sent = hidden_states.repeat_interleave(chosen, dim=0)  # [B*T*k, D]
    if experts.has_gate:
        inner = experts._apply_gate(sent @ first(experts.gate_up_proj))
    else:
        inner = experts.act_fn(sent @ first(experts.up_proj))
    back: torch.Tensor = (inner @ first(experts.down_proj)) * top_k_weights.reshape(-1, 1)
    return back.view(-1, chosen, back.size(-1)).sum(dim=1).to(hidden_states.dtype)


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
