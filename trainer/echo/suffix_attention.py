"""Attention of a short suffix to the plain pass's keys and to its own, by its formulas, without joining the two.

    P = softmax(scale [Q K'^T | Q k^T] + mask)        O = P [V ; v]
    dP = dO [V ; v]^T        dS = scale P * (dP - rowsum(dP * P))        dQ = dS [K ; k]        d[K ; k] = dS^T Q

K, V are all columns of the plain pass, of which the mask hides those from the boundary on; k, v are the suffix's own.
A fused kernel wants the two joined, so it copies the prefix, and the gradient of that copy is three passes over
memory. While the scores are small, writing them out costs less. They are made again in the backward pass; all is
computed in float32.

Legend: as in trainer/echo/shared_prefix.py; G = H / N query heads of a key-value head, as rows of one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LARGEST_SCORES = 2**24
"""Scores of one layer held at a time: 64 MiB, four times over in the backward pass."""


def is_short(samples: int, heads: int, columns: int, suffix_columns: int) -> bool:
    """Whether the formulas beat a fused kernel: the suffix is at most a quarter of the columns, and the scores are few."""
    few = samples * heads * suffix_columns * (columns + suffix_columns) <= _LARGEST_SCORES
    return few and 4 * suffix_columns <= columns


def attend(own: tuple[Tensor, Tensor, Tensor], plain: tuple[Tensor, Tensor], hidden: Tensor, scale: float) -> Tensor:
    """[B, N, G S, h] in the query's type.

    Args:
        own: query [B, N, G S, h], key and value [B, N, S, h].
        plain: key and value of the plain pass, [B, N, T, h].
        hidden: [B, 1, G S, T + S] bool, what a row does not see; each row sees something.
        scale: of the scores.
    """
    attended: Tensor = _Attend.apply(*own, *plain, hidden, scale)  # type: ignore[no-untyped-call]
    return attended


class _Attend(torch.autograd.Function):
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
            slopes = torch.cat([gradient @ plain_value.mT, gradient @ value.mT], dim=-1)
            slopes = torch._softmax_backward_data(slopes, weights, -1, weights.dtype).mul_(ctx.scale)
            by_key, by_plain_key = slopes[..., columns:].mT @ query, slopes[..., :columns].mT @ query
            by_value, by_plain_value = weights[..., columns:].mT @ gradient, weights[..., :columns].mT @ gradient
            by_query = slopes[..., :columns] @ plain_key + slopes[..., columns:] @ key
        found = (by_query, by_key, by_value, by_plain_key, by_plain_value)
        return (*(slope.to(of.dtype) for slope, of in zip(found, tensors, strict=True)), None, None)


def _weights(query: Tensor, key: Tensor, plain_key: Tensor, hidden: Tensor, scale: float) -> Tensor:
    """[B, N, G S, T + S], the softmax of the scores."""
    scores = torch.cat([query @ plain_key.mT, query @ key.mT], dim=-1)
    return torch.softmax(scores.mul_(scale).masked_fill_(hidden, float("-inf")), dim=-1)


def _as_float32(tensor: Tensor) -> Tensor:
    """Contiguous too: a product with the transpose of anything else would copy it by columns, each time."""
    return tensor.float().contiguous()


def _without_autocast(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)
