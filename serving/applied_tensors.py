"""Loaded into vLLM's workers (`--worker-extension-cls`): reads back which adapter tensors they compute with.

vLLM drops tensors that match no module with a line on DEBUG level. The buffers its kernels multiply with do not lie,
so they are what is asked.
"""

from __future__ import annotations

from typing import Any

_SIDES = (("lora_A", "lora_a_stacked"), ("lora_B", "lora_b_stacked"))


class AppliedTensors:
    """A mixin of vLLM's worker; `collective_rpc` calls its method by name."""

    def applied_lora_tensors(self, lora_id: int) -> dict[str, float]:
        """Frobenius norm of each non-zero adapter tensor in this worker's buffers, by its name in the adapter file.

        The norm of a lora_B includes vLLM's scaling by alpha / r; a sharded tensor counts with this worker's shard.
        """
        manager = self.model_runner.lora_manager._adapter_manager  # type: ignore[attr-defined]
        if lora_id not in manager.lora_index_to_id:
            return {}
        slot = manager.lora_index_to_id.index(lora_id)
        found: dict[str, float] = {}
        for name, module in manager.modules.items():
            parts = manager.packed_modules.get(name, [name])
            for side, attribute in _SIDES:
                for part, buffer in zip(parts, _slices(module, attribute), strict=False):
                    norm = float(buffer[slot].float().norm())
                    if norm > 0:
                        found[f"base_model.model.{part}.{side}.weight"] = norm
        return found


def _slices(module: Any, attribute: str) -> tuple[Any, ...]:
    """The module's buffers, one per packed projection, each [slots, 1, rows, columns]."""
    buffers = getattr(module, attribute, ())
    return tuple(buffers) if isinstance(buffers, tuple | list) else (buffers,)
