"""The echo pass over the suffix alone: the same loss and gradients as the two-pass reference, at the suffix's price.

Before the boundary the echo path sees neither answers nor injections, so its keys and values there are the plain
path's. The plain pass keeps them, as tensors of its graph; the echo pass runs the rows from the boundary to each sample's last
supervised position, packed without padding, and attends to [plain keys before the boundary; its own keys]. Gradients
flow through both (design, method.md section 4).

The attention is registered with transformers under a name of its own and is its `sdpa` except in a suffix pass.

Legend: B samples, T columns of the plain pass, S of the suffix, R rows of it that run, K key columns = boundary + S,
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

from schemas.training.train_config import EchoConfig
from trainer.data.batch import Batch
from trainer.echo import suffix_attention
from trainer.echo.layer_pass import LayerPass, Suffix, run_layers

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


def suffix_of(batch: Batch) -> Suffix:
    """The positions whose states a loss needs: in each sample from the boundary to the last supervised position.

    The boundary always runs, so that a batch without supervised tokens still has rows.
    """
    supervised = batch.supervised[:, batch.boundary :]
    runs = supervised.flip(1).cummax(dim=1).values.flip(1)
    runs[:, 0] = True
    return Suffix.of(batch.boundary, runs)


def suffix_pass(backbone: nn.Module, layer_pass: LayerPass, batch: Batch, suffix: Suffix) -> Tensor:
    """The echo pass over the suffix's rows, packed: [1, R, d]."""
    layer_pass.suffix = suffix
    ids, positions = suffix.pack(batch.input_ids[:, :-1]), suffix.pack(batch.position_ids[:, :-1])
    return run_layers(backbone, layer_pass, ids, suffix_mask(batch), positions)


def suffix_mask(batch: Batch) -> Tensor:
    """[B, 1, S, K] bool: each suffix column sees the real columns up to itself."""
    columns = torch.arange(batch.input_ids.shape[1] - 1, device=batch.input_ids.device)
    causal = columns[None, :] <= columns[batch.boundary :, None]
    return causal[None, None] & batch.attention_mask[:, None, None, :-1]


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of one layer, called by transformers with heads first.

    Args:
        module: the layer's attention.
        query: [B, H, T, h]; in a suffix pass [1, H, R, h].
        key, value: the same with N heads.
        attention_mask: transformers' own; in a suffix pass [B, 1, S, K].
        kwargs: the layer's arguments, `layer_pass` among them.
    """
    layer_pass: LayerPass | None = kwargs.pop("layer_pass", None)
    if layer_pass is None or layer_pass.prefix is None:
        if layer_pass is not None:
            layer_pass.record(module.layer_idx, key, value)  # type: ignore[arg-type]
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    own, plain = (query, key, value), layer_pass.prefix[module.layer_idx]  # type: ignore[index]
    suffix, mask, dropout = layer_pass.suffix, attention_mask, kwargs.get("dropout", 0.0)
    assert suffix is not None, "a pass with a prefix is a suffix pass"
    assert mask is not None, "a suffix pass has a mask of its own"
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    if dropout == 0 and suffix_attention.is_short(len(mask), query.shape[1], mask.shape[3], mask.shape[2]):
        return _attend_apart(own, plain, suffix, mask, scale), None
    # The joined keys are made again in the backward pass: kept, they would cost as much memory as the plain pass's.
    attended: Tensor = checkpoint(
        *(_attend_joined, own, plain, suffix, mask, scale, dropout), use_reentrant=False, preserve_rng_state=dropout > 0
    )
    return attended, None


def _attend_apart(
    own: tuple[Tensor, Tensor, Tensor], plain: tuple[Tensor, Tensor], suffix: Suffix, mask: Tensor, scale: float
) -> Tensor:
    """[1, R, H, h]: what `_attend_joined` gives, at less cost for few rows."""
    query, key, value = _grouped(own, suffix)
    columns = mask.shape[2]
    prefix, suffix_columns = mask[..., : suffix.boundary], mask[..., suffix.boundary :]
    seen = torch.cat([prefix, torch.zeros_like(suffix_columns), suffix_columns], dim=3)
    hidden = ~seen.repeat(1, 1, query.shape[2] // columns, 1)
    return _packed(suffix_attention.attend((query, key, value), plain, hidden, scale), suffix)


def _attend_joined(
    own: tuple[Tensor, Tensor, Tensor],
    plain: tuple[Tensor, Tensor],
    suffix: Suffix,
    mask: Tensor,
    scale: float,
    dropout: float,
) -> Tensor:
    """[1, R, H, h]: the packed rows attend to the plain pass's keys before the boundary and to their own."""
    query, key, value = _grouped(own, suffix)
    before = slice(0, suffix.boundary)
    attended = F.scaled_dot_product_attention(
        query,
        torch.cat([plain[0][:, :, before], key], dim=2),
        torch.cat([plain[1][:, :, before], value], dim=2),
        attn_mask=mask.repeat(1, 1, query.shape[2] // mask.shape[2], 1),
        dropout_p=dropout,
        scale=scale,
    )
    return _packed(attended, suffix)


def _grouped(own: tuple[Tensor, Tensor, Tensor], suffix: Suffix) -> tuple[Tensor, Tensor, Tensor]:
    """Unpacked query [B, N, G S, h], key and value [B, N, S, h].

    The G = H / N query heads of a key-value head become rows of one, so keys are never repeated.
    """
    query, key, value = (_unpack(packed, suffix) for packed in own)
    (batch, _, _, size), key_heads = query.shape, key.shape[1]
    return query.reshape(batch, key_heads, -1, size), key, value


def _packed(attended: Tensor, suffix: Suffix) -> Tensor:
    """[1, R, H, h]: the rows that ran, of [B, N, G S, h]."""
    samples, columns = suffix.runs.shape
    rows = attended.reshape(samples, -1, columns, attended.shape[-1]).transpose(1, 2).flatten(0, 1)
    return rows.index_select(0, suffix.rows)[None]


def _unpack(packed: Tensor, suffix: Suffix) -> Tensor:
    """[B, heads, S, h] of packed rows, [1, heads, R, h]; zeros where nothing ran, which no row that ran attends to."""
    samples, columns = suffix.runs.shape
    rows = packed[0].transpose(0, 1)
    padded = rows.new_zeros(samples * columns, *rows.shape[1:]).index_copy(0, suffix.rows, rows)
    return padded.view(samples, columns, *rows.shape[1:]).transpose(1, 2)
