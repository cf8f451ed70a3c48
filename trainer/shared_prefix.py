"""The echo pass over the suffix alone: the same loss and gradients as the two-pass reference, at the suffix's price.

Before the boundary the echo path sees neither answers nor injections, so its keys and values there are the plain
path's. The plain pass keeps them, as tensors of its graph; the echo pass runs columns >= boundary only and attends to
[plain keys before the boundary; its own keys]. Gradients flow through both (design, method.md section 4).

The attention is registered with transformers under a name of its own and is its `sdpa` except in a suffix pass.

Legend: B samples, T columns of the plain pass, S of the suffix, K key columns = boundary + S = T,
H attention heads, N key-value heads, h head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from schemas.train_config import EchoConfig
from trainer.batch import Batch
from trainer.layer_pass import LayerPass, run_layers

ATTENTION = "sdpa_shared_prefix"


def obstacle(model: PreTrainedModel, echo: EchoConfig) -> str | None:
    """Why the echo pass cannot share the plain pass's prefix; None where it can."""
    config = model.config.get_text_config()
    if echo.positions == "all":
        return "echo.positions is all, so the prompts of the two passes differ"
    if model.config._attn_implementation not in ("sdpa", ATTENTION):
        return f"attention is {model.config._attn_implementation}, not sdpa"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "the base model has layers without full attention"
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None) is not None:
        return "the base model's attention has a sliding window"
    return None


def share_prefixes(model: PreTrainedModel) -> None:
    """Gives the model the attention that can attend to another pass's keys."""
    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)


def has_recorded(plain_pass: LayerPass, columns: int) -> bool:
    """Whether the attention of every layer kept keys and values for all `columns` of the plain pass."""
    kept = plain_pass.keys_values
    return len(kept) == len(plain_pass.forwards) and all(keys.shape[2] == columns for keys, _ in kept.values())


def suffix_pass(backbone: nn.Module, layer_pass: LayerPass, batch: Batch) -> Tensor:
    """The echo pass over the columns from the boundary to the last but one: [B, S, d]."""
    suffix = slice(batch.boundary, -1)
    return run_layers(
        backbone, layer_pass, batch.input_ids[:, suffix], suffix_mask(batch), batch.position_ids[:, suffix]
    )


def suffix_mask(batch: Batch) -> Tensor:
    """[B, 1, S, K] bool: each suffix column sees the real columns up to itself."""
    columns = torch.arange(batch.input_ids.shape[1] - 1, device=batch.input_ids.device)
    causal = columns[None, :] <= columns[batch.boundary :, None]
    return causal[None, None] & batch.attention_mask[:, None, None, :-1]


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one layer, called by transformers with heads first: query [B, H, S, h], key and value [B, N, S, h]."""
    layer_pass: LayerPass | None = kwargs.pop("layer_pass", None)
    if layer_pass is None or layer_pass.prefix is None:
        if layer_pass is not None:
            layer_pass.record(module.layer_idx, key, value)  # type: ignore[arg-type]
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    assert attention_mask is not None, "a suffix pass has its own mask"
    plain_keys, plain_values = layer_pass.prefix[module.layer_idx]  # type: ignore[index]
    before = slice(0, attention_mask.shape[-1] - query.shape[2])
    dropout, scale = kwargs.get("dropout", 0.0), kwargs.get("scaling")
    # The joined keys are made again in the backward pass: kept, they would cost as much memory as the plain pass's.
    joined = checkpoint(
        _attend_to_both,
        query,
        (plain_keys[:, :, before], key),
        (plain_values[:, :, before], value),
        attention_mask,
        dropout,
        scale,
        use_reentrant=False,
        preserve_rng_state=dropout > 0,
    )
    return joined.transpose(1, 2).contiguous(), None


def _attend_to_both(
    query: Tensor,
    keys: tuple[Tensor, Tensor],
    values: tuple[Tensor, Tensor],
    mask: Tensor,
    dropout: float,
    scale: float | None,
) -> Tensor:
    """[B, H, S, h]. The H / N query heads of a key-value head become rows of one, so keys are never repeated."""
    batch, heads, columns, size = query.shape
    key_heads = keys[1].shape[1]
    groups = heads // key_heads
    attended = F.scaled_dot_product_attention(
        query.reshape(batch, key_heads, groups * columns, size),
        torch.cat(keys, dim=2),
        torch.cat(values, dim=2),
        attn_mask=mask.repeat(1, 1, groups, 1),
        dropout_p=dropout,
        scale=scale,
    )
    return attended.reshape(batch, heads, columns, attended.shape[-1])
