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

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainer.data.suffix import Suffix

_TAKES_MASKS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels for attention with a mask: not cuDNN's, whose gradients with one can be NaN (pytorch#196678)."""

_LARGEST_SCORES = 2**24
"""Scores of one layer held at a time: 64 MiB, four times over in the backward pass."""

Heads = tuple[Tensor, ...]
"""Query, key and value, or key and value, heads before rows."""

Attend = Callable[..., Tensor]
"""`attend_joined` or `attend_apart`."""


def way_to_attend(suffix: Suffix, columns: int, heads: int, key_heads: int, dropout: float) -> tuple[Attend, Tensor]:
    """How the layers of a pass attend, and the mask of that way: made once for all of them.

    Args:
        suffix: which rows run.
        columns: T.
        heads: H.
        key_heads: N.
        dropout: of the attention's weights.
    """
    hidden = suffix.hidden(columns).repeat(1, 1, heads // key_heads, 1)  # the same for each query head of a group
    if hidden.device.type == "cpu" and dropout == 0 and _is_short(heads, columns, suffix):
        return attend_apart, hidden
    return attend_joined, ~torch.cat([hidden[..., : suffix.prefix], hidden[..., columns:]], dim=3)


def _is_short(heads: int, columns: int, suffix: Suffix) -> bool:
    """Whether the formulas beat a fused kernel: the suffix is at most a quarter of the columns, and the scores are few.

    That is so on a CPU. On a GPU the copy is cheap, and the formulas are many small kernels.
    """
    samples, own = suffix.shape
    return samples * heads * own * (columns + own) <= _LARGEST_SCORES and 4 * own <= columns


def attend_joined(own: Heads, plain: Heads, suffix: Suffix, seen: Tensor, scale: float, dropout: float = 0.0) -> Tensor:
    """[1, P, H, h] in the query's type, by torch's attention over the joined keys and values.

    Args:
        own: the suffix's query [1, H, P, h], key and value [1, N, P, h].
        plain: key and value of the plain pass, [B, N, T, h].
        suffix: which rows run.
        seen: [B, 1, G S, prefix + S] bool, the keys that each row sees.
        scale: of the scores.
        dropout: of the weights.
    """
    query_BNGSh, *own_BNSh = _grouped(own, suffix)
    key_BNKh, value_BNKh = (
        torch.cat([plain_BNTh[:, :, : suffix.prefix], rows_BNSh], dim=2)
        for plain_BNTh, rows_BNSh in zip(plain, own_BNSh, strict=True)
    )
    with sdpa_kernel(_TAKES_MASKS):
        attended_BNGSh = F.scaled_dot_product_attention(
            query_BNGSh, key_BNKh, value_BNKh, attn_mask=seen, dropout_p=dropout, scale=scale
        )
    return suffix.pack_heads(attended_BNGSh)


def attend_apart(
    own: Heads, plain: Heads, suffix: Suffix, hidden: Tensor, scale: float, dropout: float = 0.0
) -> Tensor:
    """[1, P, H, h]: what `attend_joined` gives, at less cost for few rows; `hidden` is [B, 1, G S, T + S], the keys not seen."""
    assert dropout == 0, "the formulas have none"
    query_BNGSh, *own_BNSh = _grouped(own, suffix)
    attended_BNGSh = _Attend.apply(query_BNGSh, *own_BNSh, *plain, hidden, scale)  # type: ignore[no-untyped-call]
    return suffix.pack_heads(attended_BNGSh)


def _grouped(own: Heads, suffix: Suffix) -> Heads:
    """Unpacked query [B, N, G S, h], key and value [B, N, S, h]."""
    heads = [packed.shape[1] for packed in own]
    query_BHSh, key_BNSh, value_BNSh = torch.split(suffix.unpack_heads(torch.cat(own, dim=1)), heads, dim=1)
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
