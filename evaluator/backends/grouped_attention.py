"""Attention of one new token per row in models whose query heads share keys and values.

transformers' own repeats the shared keys and values for every query head, which in decoding is a quarter of the time on a
CPU; here the query heads of a group are the queries of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "grouped_sdpa"


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **settings: Any
) -> tuple[torch.Tensor, None]:
    """transformers' sdpa; where there is one query per row [B, heads, 1, d], without copies of keys and values.

    Returns:
        The attended values [B, queries, heads, d].
    """
    rows, heads, queries, width = query.shape
    if queries > 1 or heads == key.shape[1]:
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **settings
        )
        return attended
    grouped = query.reshape(rows, key.shape[1], -1, width)
    found = torch.nn.functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=settings.get("scaling")
    )
    return found.reshape(rows, 1, heads, width), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
