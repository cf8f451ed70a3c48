"""Greedy decoding of a batch: the common beginning once, buffers in place, and no more work for rows that have ended.

transformers' own `generate` is the reference: it computes every row until the last one has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from evaluator.backends.prefix_cache import PrefixCache, common_prefix

WORTH_SHARING = 16
"""Tokens; a shorter common beginning costs more as a pass of its own than it saves."""
_DROPPED_AT = 0.125
"""Share of ended rows at which the batch is made smaller; each time, its keys and values are copied."""


class GreedyDecoder:
    """Continues batches of prompts with one model."""

    def __init__(self, model: Any, prefix: PrefixCache, ends: Callable[[list[int]], bool]) -> None:
        """The decoder; `ends` says of a row's new tokens whether it needs no more of them."""
        self._model, self._prefix, self._ends = model, prefix, ends

    @torch.inference_mode()
    def generate(self, ids: torch.Tensor, real: torch.Tensor, new_tokens: int) -> list[list[int]]:
        """New tokens of each row, at most so many.

        Args:
            ids: left-padded prompts [B, T].
            real: 1 where `ids` is a prompt's token, 0 in the padding.
            new_tokens: at most.
        """
        lengths = real.sum(1).tolist()
        shared = self._share([row[len(row) - length :] for row, length in zip(ids.tolist(), lengths, strict=True)])
        # Without their last `shared` columns, the padding columns of a row are as many as before.
        rows = _Rows(self._prefix.growing(ids.shape[1] - shared + new_tokens), ids[:, shared:], real, shared)
        for _ in range(new_tokens):
            last = rows.step(self._model)
            ended = torch.tensor([self._ends(rows.texts[row]) for row in rows.alive])
            if ended.all():
                break
            if ended.float().mean() >= _DROPPED_AT:
                rows.keep(~ended.to(last.device))
        return rows.texts

    def _share(self, prompts: list[list[int]]) -> int:
        first, last = min(prompts), max(prompts)
        shared = min(common_prefix(first, last), min(map(len, prompts)) - 1)
        shared = shared if shared >= WORTH_SHARING and len(prompts) > 1 else 0
        self._prefix.extend_to(first[:shared])
        return shared


class _Rows:
    """Where a batch stands: its cache, what each row sees, and the tokens it has written."""

    def __init__(self, cache: Any, ids: torch.Tensor, real: torch.Tensor, shared: int) -> None:
        self._cache, self._shared, self._next = cache, shared, ids
        own = real[:, : ids.shape[1]].bool()
        self._sees = torch.cat([own.new_ones(len(ids), shared), own], dim=1)  # [B, prefix + columns so far]
        self.alive = list(range(len(ids)))
        self.texts: list[list[int]] = [[] for _ in ids]

    def step(self, model: Any) -> torch.Tensor:
        """Adds one token to every row that is alive; returns them [rows]."""
        columns = self._next.shape[1]
        logits = model(
            input_ids=self._next,
            attention_mask=self._mask(columns),
            position_ids=(self._sees.cumsum(1) - 1).clamp(min=0)[:, -columns:],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        best: torch.Tensor = logits[:, -1].float().argmax(-1)
        for row, token in zip(self.alive, best.tolist(), strict=True):
            self.texts[row].append(token)
        self._next = best[:, None]
        self._sees = torch.cat([self._sees, self._sees.new_ones(len(best), 1)], dim=1)
        return best

    def keep(self, rows: torch.Tensor) -> None:
        """Goes on with these rows [rows, bool] only."""
        self._next, self._sees = self._next[rows], self._sees[rows]
        self.alive = [row for row, kept in zip(self.alive, rows.tolist(), strict=True) if kept]
        for layer in self._cache.layers:
            layer.batch_select_indices(rows.nonzero()[:, 0])

    def _mask(self, columns: int) -> torch.Tensor:
        """Who sees whom [B, 1, columns, prefix + columns so far]; padding sees itself, so that no softmax is empty."""
        total = self._sees.shape[1]
        before = torch.ones(columns, total, dtype=torch.bool, device=self._sees.device).tril(total - columns)
        itself = torch.eye(total, dtype=torch.bool, device=self._sees.device)[-columns:]
        return ((self._sees[:, None] & before) | itself)[:, None]
