"""The size of the buffers that vLLM keeps adapters in: how wide a slot is, and how many slots there are."""

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


def adapter_slots(adapters: int, *, cpu: bool) -> int:
    """Slots for so many adapters in one batch; slots are filled from the first.

    Requests without an adapter have slot -1. The CPU build of vLLM 0.32 takes that as an index, so it is the last slot:
    in a batch with an adapter's requests, the base's would be computed with the last adapter
    (github.com/vllm-project/vllm/pull/48421). There the last slot stays empty, which is all zeros. The attestation
    measures both: what free slots hold, and what models answer while others are in their batch.
    """
    return adapters + 1 if cpu else adapters
