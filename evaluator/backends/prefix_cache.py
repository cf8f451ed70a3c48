"""Keys and values of what prompts begin with, computed once and seen by every row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer


class PrefixCache:
    """The last prefix of one model; the next one, which often begins alike, is made from it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._tokens: list[int] = []
        self._cache = DynamicCache()

    @torch.inference_mode()
    def extend_to(self, tokens: list[int]) -> None:
        """Crops the kept prefix to what it has in common with the tokens, and computes the rest."""
        kept = common_prefix(self._tokens, tokens)
        for layer in self._cache.layers:
            layer.crop(kept - len(self._tokens))
        if tokens[kept:]:
            ids = torch.tensor([tokens[kept:]], device=self._model.device)
            self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._tokens = tokens

    def seen(self) -> Cache | None:
        """A cache of one pass: its rows see the prefix, and their own keys and values are not kept. None without a prefix."""
        return Cache(layers=[_SeenLayer(layer) for layer in self._cache.layers]) if self._tokens else None

    def growing(self, room: int) -> Cache:
        """A cache of rows that go on from the prefix, with room for so many tokens of their own."""
        layers = self._cache.layers if self._tokens else [None] * self._model.config.get_text_config().num_hidden_layers
        return Cache(layers=[GrowingLayer(layer, room) for layer in layers])


class _SeenLayer(DynamicLayer):  # type: ignore[misc]
    def __init__(self, prefix: Any) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = prefix.keys, prefix.values, True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [B, heads, prefix + columns, d]."""
        given = ((self.keys, key_states), (self.values, value_states))
        keys, values = (torch.cat([prefix.expand(len(own), -1, -1, -1), own], dim=-2) for prefix, own in given)
        return keys, values


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Buffers that are written in place: transformers' own layer copies all of its tokens for each new one."""

    def __init__(self, prefix: Any, room: int) -> None:
        super().__init__()
        self._prefix, self._room, self._length = prefix, room, 0
        self.is_initialized: bool = False

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [B, heads, tokens so far, d]."""
        if not self.is_initialized:
            shared = 0 if self._prefix is None else self._prefix.keys.shape[-2]
            self.keys, self.values = (self._buffer(own, shared) for own in (key_states, value_states))
            if self._prefix is not None:
                self.keys[:, :, :shared], self.values[:, :, :shared] = self._prefix.keys, self._prefix.values
            self._length, self.is_initialized, self._prefix = shared, True, None
        end = self._length + key_states.shape[-2]
        self.keys[:, :, self._length : end], self.values[:, :, self._length : end] = key_states, value_states
        self._length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Tokens so far, the prefix included."""
        return self._length

    def _buffer(self, own: torch.Tensor, shared: int) -> torch.Tensor:
        return own.new_empty(*own.shape[:2], shared + self._room, own.shape[-1])


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
