"""Loaded into vLLM's workers (`--worker-extension-cls`): reads back the adapter tensors that they compute with.

vLLM drops tensors that match no module with a line on DEBUG level. The buffers its kernels multiply with do not lie,
so they are what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np

from schemas.adapter_reader import projection

_SIDES = (("lora_A", "lora_a_stacked"), ("lora_B", "lora_b_stacked"))


class WorkerTensors(TypedDict):
    """What one worker holds.

    `norms`: Frobenius norm of each non-zero tensor of the adapter, by its name in the adapter file; that of a lora_B
    includes vLLM's scaling by alpha / r, and a sharded tensor counts with this worker's shard.
    `projections`: `schemas.adapter_reader.projection` of the same, which a sign or an order changes too.
    `in_free_slots`: names of the tensors that are not zero in a slot that no adapter holds.
    """

    norms: dict[str, float]
    projections: dict[str, float]
    in_free_slots: list[str]


class AppliedTensors:
    """A mixin of vLLM's worker; `collective_rpc` calls its method by name."""

    def applied_lora_tensors(self, lora_id: int) -> WorkerTensors:
        """Reads the buffers of one adapter's slot, and of the slots that are free."""
        manager = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        slots: list[int | None] = manager.lora_index_to_id
        free = [slot for slot, holder in enumerate(slots) if holder is None]
        found = WorkerTensors(norms={}, projections={}, in_free_slots=[])
        for name, buffer in _buffers(manager):
            norm, projection = _read(buffer[slots.index(lora_id)]) if lora_id in slots else (0.0, 0.0)
            if norm > 0:
                found["norms"][name], found["projections"][name] = norm, projection
            if any(bool(buffer[slot].any()) for slot in free):
                found["in_free_slots"].append(name)
        return found


def _read(tensor: Any) -> tuple[float, float]:
    """Norm and projection of a buffer [1, rows, columns]; the columns and rows that pad it are zero, and add nothing."""
    values = tensor[0].float().cpu().numpy()
    return float(np.linalg.norm(values)), projection(values)


def _buffers(manager: Any) -> Iterator[tuple[str, Any]]:
    """Name in an adapter file, and buffer [slots, 1, rows, columns], of every tensor that an adapter may have here."""
    for name, module in manager.modules.items():
        parts = manager.packed_modules.get(name, [name])
        for side, attribute in _SIDES:
            stacked = getattr(module, attribute, ())
            buffers = tuple(stacked) if isinstance(stacked, tuple | list) else (stacked,)
            for part, buffer in zip(parts, buffers, strict=False):
                yield f"base_model.model.{part}.{side}.weight", buffer
