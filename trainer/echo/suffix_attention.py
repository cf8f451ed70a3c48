"""Attention of a suffix's rows to the plain pass's keys before the boundary and to their own, in two equal ways.

Joined, a fused kernel attends to [K ; k] and [V ; v]. It copies the prefix to join them, and the gradient of that copy
is three passes over memory. Apart, for a short suffix, the scores are written out and nothing is joined:

    P = softmax(scale [Q K'^T | Q k^T] + mask)        O = P [V ; v]

K, V are all columns of the plain pass, of which the mask hides those from the boundary on; k, v are the suffix's own.

Legend: B samples, T columns of the plain pass, S columns of the suffix, P rows of it that run, packed, H attention heads,
N key-value heads, G = H / N query heads of a key-value head, h head size. The query heads of a group are rows of one, so
keys and values are never repeated. A name's suffix is its shape: query_BNGSh is [B, N, G S, h].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_LARGEST_SCORES = 2**24
"""Scores of one layer held at a time: 64 MiB, four times over in the backward pass."""

Heads = tuple[Tensor, ...]
"""Query, key and value, or key and value, heads before rows."""


@dataclass(frozen=True)
class Suffix:
    """The rows of a packed pass over the columns from the boundary on: [1, P, ..] in place of [B, S, ..] with padding."""

    boundary: int
    """The first column."""
    runs: Tensor
    """[B, S] bool: the positions that run."""
    rows: Tensor
    """[P]: their indices in B x S."""

    @classmethod
    def of(cls, boundary: int, runs_BS: Tensor) -> Suffix:
        """The suffix that runs these positions."""
        return cls(boundary, runs_BS, runs_BS.flatten().nonzero().squeeze(1))

    def pack(self, values_BT: Tensor) -> Tensor:
        """[1, P, ..] of values of all columns, [B, T, ..]."""
        return values_BT[:, self.boundary :].flatten(0, 1).index_select(0, self.rows)[None]

    def unpack_heads(self, packed_1HPh: Tensor) -> Tensor:
        """[B, H, S, h] of packed rows; zeros where nothing ran, which no row that ran attends to."""
        samples, columns = self.runs.shape
        rows_PHh = packed_1HPh[0].transpose(0, 1)
        padded = rows_PHh.new_zeros(samples * columns, *rows_PHh.shape[1:]).index_copy(0, self.rows, rows_PHh)
        return padded.view(samples, columns, *rows_PHh.shape[1:]).transpose(1, 2)  # [B S, H, h] -> [B, H, S, h]

    def pack_heads(self, attended_BNGSh: Tensor) -> Tensor:
        """[1, P, H, h]: the rows that ran."""
        samples, columns = self.runs.shape
        attended_BHSh = attended_BNGSh.reshape(samples, -1, columns, attended_BNGSh.shape[-1])
        return (
            attended_BHSh.transpose(1, 2).flatten(0, 1).index_select(0, self.rows)[None]
        )  # [B S, H, h] -> [1, P, H, h]


def attend(own: Heads, plain: Heads, suffix: Suffix, mask_B1SK: Tensor, scale: float, dropout: float) -> Tensor:
    """[1, P, H, h] in the query's type.

    Args:
        own: the suffix's query [1, H, P, h], key and value [1, N, P, h].
        plain: key and value of the plain pass, [B, N, T, h].
        suffix: which rows run.
        mask_B1SK: bool, what each suffix column sees of the K = boundary + S columns that precede or are the suffix.
        scale: of the scores.
        dropout: of the weights.
    """
    few = _is_short(len(mask_B1SK), own[0].shape[1], mask_B1SK.shape[3], mask_B1SK.shape[2])
    if dropout == 0 and few:
        return attend_apart(own, plain, suffix, mask_B1SK, scale)
    # The joined keys are made again in the backward pass: kept, they would cost as much memory as the plain pass's.
    attended: Tensor = checkpoint(
        *(attend_joined, own, plain, suffix, mask_B1SK, scale, dropout),
        use_reentrant=False,
        preserve_rng_state=dropout > 0,
    )
    return attended


def _is_short(samples: int, heads: int, columns: int, suffix_columns: int) -> bool:
    """Whether the formulas beat a fused kernel: the suffix is at most a quarter of the columns, and the scores are few."""
    few = samples * heads * suffix_columns * (columns + suffix_columns) <= _LARGEST_SCORES
    return few and 4 * suffix_columns <= columns


def attend_joined(
    own: Heads, plain: Heads, suffix: Suffix, mask_B1SK: Tensor, scale: float, dropout: float = 0.0
) -> Tensor:
    """[1, P, H, h], by torch's attention over the joined keys and values."""
    query_BNGSh, key_BNSh, value_BNSh = _grouped(own, suffix)
    key_BNKh, value_BNKh = (
        torch.cat([plain_BNTh[:, :, : suffix.boundary], own_BNSh], dim=2)
        for plain_BNTh, own_BNSh in zip(plain, (key_BNSh, value_BNSh), strict=True)
    )
    mask_B1GSK = mask_B1SK.repeat(1, 1, query_BNGSh.shape[2] // mask_B1SK.shape[2], 1)
    attended_BNGSh = F.scaled_dot_product_attention(
        query_BNGSh, key_BNKh, value_BNKh, attn_mask=mask_B1GSK, dropout_p=dropout, scale=scale
    )
    return suffix.pack_heads(attended_BNGSh)


def attend_apart(own: Heads, plain: Heads, suffix: Suffix, mask_B1SK: Tensor, scale: float) -> Tensor:
    """[1, P, H, h]: what `attend_joined` gives, at less cost for few rows."""
    query_BNGSh, *own_BNSh = _grouped(own, suffix)
    before, within = mask_B1SK[..., : suffix.boundary], mask_B1SK[..., suffix.boundary :]
    # Of the plain pass's T = boundary + S columns the last S are hidden: the suffix has keys of its own there.
    seen = torch.cat([before, torch.zeros_like(within), within], dim=3)  # [B, 1, S, T + S]
    hidden = ~seen.repeat(1, 1, query_BNGSh.shape[2] // mask_B1SK.shape[2], 1)  # [B, 1, G S, T + S]
    attended_BNGSh = _Attend.apply(query_BNGSh, *own_BNSh, *plain, hidden, scale)  # type: ignore[no-untyped-call]
    return suffix.pack_heads(attended_BNGSh)


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
