"""The adapter widths that vLLM offers: what serves an adapter and the card that says how must name the same one."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import UserError

# vllm.config.lora.MaxLoRARanks; a test compares the two, so that the 20 seconds of importing vLLM are not spent here.
ALLOWED_MAX_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def max_lora_rank(ranks: Iterable[int]) -> int:
    """The smallest allowed width that holds every adapter: buffers are padded to it, and padding costs time.

    Raises:
        UserError: an adapter is wider than vLLM can serve.
    """
    widest = max(ranks)
    for allowed in ALLOWED_MAX_RANKS:
        if widest <= allowed:
            return allowed
    raise UserError(
        f"vLLM serves adapters up to rank {ALLOWED_MAX_RANKS[-1]}, this one has rank {widest}",
        fix="train with a smaller adapter.rank",
    )
