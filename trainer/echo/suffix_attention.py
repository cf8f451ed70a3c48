"""Attention of a suffix's rows to the plain pass's keys before the boundary and to their own, in two equal ways.

Joined, a fused kernel attends to [K ; k] and [V ; v]. It copies the prefix to join them, and the gradient of that copy
is three passes over memory. Apart, for a short suffix, the scores are written out and nothing is joined:

    P = softmax(scale [Q K'^T | Q k^T] + mask)        O = P [V ; v]

K, V are all columns of the plain pass, of which those from a sample's boundary on are hidden; k, v are the suffix's own.

Legend: B samples, T columns of the plain pass, S columns of the suffix, P rows of it that run, packed, H attention heads,
N key-value heads, G = H / N query heads of a key-value head, h head size. The query heads of a group are rows of one, so
keys and values are never repeated. A name's suffix is its shape: query_BNGSh is [B, N, G S, h].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from trainer.data.suffix import Suffix

_TAKES_MASKS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels for attention with a mask: not cuDNN's, whose gradients with one can be NaN (pytorch#196678)."""

_LARGEST_SCORES = 2**24
"""Scores of one layer held at a time: 64 MiB, four times over in the backward pass."""

Heads = tuple[Tensor, ...]
"""Query, key and value, or key and value, heads before rows."""


def attend(own: Heads, plain: Heads, suffix: Suffix, hidden_B1SK: Tensor, scale: float, dropout: float) -> Tensor:
    """[1, P, H, h] in the query's type.

    Args:
        own: the suffix's query [1, H, P, h], key and value [1, N, P, h].
        plain: key and value of the plain pass, [B, N, T, h].
        suffix: which rows run.
        hidden_B1SK: bool, which of the K = T + S keys each of its columns does not see (`Suffix.hidden`).
        scale: of the scores.
        dropout: of the weights.
    """
    if dropout == 0 and _is_short(own[0].shape[1], plain[0].shape[2], suffix):
        return attend_apart(own, plain, suffix, hidden_B1SK, scale)
    # The joined keys are made again in the backward pass: kept, they would cost as much memory as the plain pass's.
    attended: Tensor = checkpoint(
        *(attend_joined, own, plain, suffix, hidden_B1SK, scale, dropout),
        use_reentrant=False,
        preserve_rng_state=dropout > 0,
    )
    return attended


def _is_short(heads: int, columns: int, suffix: Suffix) -> bool:
    """Whether the formulas beat a fused kernel: the suffix is at most a quarter of the columns, and the scores are few."""
    samples, own = suffix.shape
    return samples * heads * own * (columns + own) <= _LARGEST_SCORES and 4 * own <= columns


def attend_joined(
    own: Heads, plain: Heads, suffix: Suffix, hidden_B1SK: Tensor, scale: float, dropout: float = 0.0
) -> Tensor:
    """[1, P, H, h], by torch's attention over the joined keys and values."""
    query_BNGSh, key_BNSh, value_BNSh = _grouped(own, suffix)
    key_BNKh, value_BNKh = (
        torch.cat([plain_BNTh[:, :, : suffix.prefix], own_BNSh], dim=2)
        for plain_BNTh, own_BNSh in zip(plain, (key_BNSh, value_BNSh), strict=True)
    )
    hidden = torch.cat([hidden_B1SK[..., : suffix.prefix], hidden_B1SK[..., plain[0].shape[2] :]], dim=3)
    with sdpa_kernel(_TAKES_MASKS):
        attended_BNGSh = F.scaled_dot_product_attention(
            *(query_BNGSh, key_BNKh, value_BNKh),
            attn_mask=~_for_groups(hidden, query_BNGSh),
            dropout_p=dropout,
            scale=scale,
        )
    return suffix.pack_heads(attended_BNGSh)


def attend_apart(own: Heads, plain: Heads, suffix: Suffix, hidden_B1SK: Tensor, scale: float) -> Tensor:
    """[1, P, H, h]: what `attend_joined` gives, at less cost for few rows."""
    query_BNGSh, *own_BNSh = _grouped(own, suffix)
    hidden = _for_groups(hidden_B1SK, query_BNGSh)
    attended_BNGSh = _Attend.apply(query_BNGSh, *own_BNSh, *plain, hidden, scale)  # type: ignore[no-untyped-call]
    return suffix.pack_heads(attended_BNGSh)


def _for_groups(hidden_B1SK: Tensor, query_BNGSh: Tensor) -> Tensor:
    """[B, 1, G S, K]: the same for each query head of a group."""
    return hidden_B1SK.repeat(1, 1, query_BNGSh.shape[2] // hidden_B1SK.shape[2], 1)


def _grouped(own: Heads, suffix: Suffix) -> Heads:
    """Unpacked query [B, N, G S, h], key and value [B, N, S, h]."""
    query_BHSh, key_BNSh, value_BNSh = (suffix.unpack_heads(packed) for packed in own)
    samples, key_heads, _, size = key_BNSh.shape
    return query_BHSh.reshape(samples, key_heads, -1, size), key_BNSh, value_BNSh  # [B, N G, S, h] -> [B, N, G S, h]


class _Attend(torch.autograd.Function):
    """Attention apart, in float32 whatever the inputs' type.

    The gradient by hand, with dO the gradient of the output:

        dP = dO [V ; v]^T        dS = scale P * (dP - rowsum(dP * P))        dQ = dS [K ; k]        d[K ; k] = dS^T Q
        d[V ; v] = P^T dO

    P is made again in the backward pass: kept, it would be the largest tensor of the layer. What the mask hides has
    P = 0 and so dS = 0: the plain pass's keys from the boundary on get no gradient, as joined, where they are no input.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *tensors, hidden, scale = inputs
        ctx.save_for_backward(*tensors, hidden)
        ctx.scale = scale
        with _without_autocast(tensors[0]):
            query, key, value, plain_key, plain_value = (_as_float32(tensor) for tensor in tensors)
            weights = _weights(query, key, plain_key, hidden, scale)
            columns = plain_key.shape[2]
            attended = weights[..., :columns] @ plain_value + weights[..., columns:] @ value
            result: Tensor = attended.to(tensors[0].dtype)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, hidden = ctx.saved_tensors
        with _without_autocast(gradient):
            query, key, value, plain_key, plain_value = (_as_float32(tensor) for tensor in tensors)
            gradient, columns = gradient.float(), plain_key.shape[2]
            weights = _weights(query, key, plain_key, hidden, ctx.scale)
            slopes = torch.cat([gradient @ plain_value.mT, gradient @ value.mT], dim=-1)  # dP
            slopes = torch._softmax_backward_data(slopes, weights, -1, weights.dtype).mul_(ctx.scale)  # dS
            by_key, by_plain_key = slopes[..., columns:].mT @ query, slopes[..., :columns].mT @ query
            by_value, by_plain_value = weights[..., columns:].mT @ gradient, weights[..., :columns].mT @ gradient
            by_query = slopes[..., :columns] @ plain_key + slopes[..., columns:] @ key
        found = (by_query, by_key, by_value, by_plain_key, by_plain_value)
        return (*(slope.to(of.dtype) for slope, of in zip(found, tensors, strict=True)), None, None)


def _weights(query: Tensor, key: Tensor, plain_key: Tensor, hidden: Tensor, scale: float) -> Tensor:
    """[B, N, G S, T + S], the softmax of the scores; every row sees something, so none is all -inf."""
    scores = torch.cat([query @ plain_key.mT, query @ key.mT], dim=-1)
    return torch.softmax(scores.mul_(scale).masked_fill_(hidden, float("-inf")), dim=-1)


def _as_float32(tensor: Tensor) -> Tensor:
    """Contiguous too: a product with the transpose of anything else would copy it by columns, each time."""
    return tensor.float().contiguous()


def _without_autocast(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)
