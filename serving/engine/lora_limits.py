"""How many slots vLLM's adapter buffers have."""

from __future__ import annotations


def adapter_slots(adapters: int, *, cpu: bool) -> int:
    """Slots for so many adapters in one batch; slots are filled from the first.

    Requests without an adapter have slot -1. The CPU build of vLLM 0.32 takes that as an index, so it is the last slot:
    in a batch with an adapter's requests, the base's would be computed with the last adapter
    (github.com/vllm-project/vllm/pull/48421). There the last slot stays empty, which is all zeros. The attestation
    measures both: what free slots hold, and what models answer while others are in their batch.
    """
    return adapters + 1 if cpu else adapters
