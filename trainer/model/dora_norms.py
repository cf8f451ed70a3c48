"""RowNorms: ||W + s B A|| by rows for every DoRA module, without ever making W + s B A.

    ||W + s B A||^2 = ||W||^2 + 2 s rowsum((W A^T) * B) + s^2 rowsum((B (A A^T)) * B)

One product with r columns (arXiv 2603.22276 has the same form). The norm is detached (DoRA, arXiv 2402.09353 section
4.3), so it is a constant of the optimizer step: evaluated once, shared by both paths, all micro-batches and
recomputations. PEFT evaluates it through an identity matrix and the whole product on every forward.

Legend: o out-features, i in-features, r rank, M DoRA modules; W [o, i], A [r, i], B [o, r].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor
from torch.distributed.tensor import DTensor

from trainer.model.lora_forward import AdaptedModule

_BLOCK_ELEMENTS = 2**22
"""Most elements of W converted to float32 at a time: 16 MiB."""
_PROBED_ELEMENTS = 4096
"""Elements of W that are looked at for a change; of A and B it is all."""


class RowNorms:
    """The row norms of all DoRA modules, evaluated again for those whose weights have changed.

    A change shows in a tensor's identity (replaced or swapped through `.data`), in its version (optimizers, copy_,
    load_state_dict) or in a weighted sum of its elements (written in place through `.data`, which leaves no other
    trace). Of the frozen W only a sample enters the sum: call `invalidate` after writing to single rows of it that way.
    """

    def __init__(self, modules: Sequence[AdaptedModule]) -> None:
        self._modules = modules
        self._base: dict[str, _Value] = {}
        self._norms: dict[str, _Value] = {}
        self._probes: Tensor | None = None
        self.evaluations = 0
        """How many norms were evaluated, for tests and the bench."""

    def invalidate(self) -> None:
        """Forgets everything, whatever the weights look like."""
        self._base.clear()
        self._norms.clear()

    @torch.no_grad()
    def current(self) -> dict[str, Tensor]:
        """[o] float32 for each module's name."""
        if not self._modules:
            return {}
        self._forget_rewritten()
        for adapted in self._modules:
            kept = self._norms.get(adapted.name)
            if kept is None or kept.is_stale(_all_weights(adapted), _scaling(adapted)):
                self._norms[adapted.name] = self._evaluate(adapted)
        return {name: kept.value for name, kept in self._norms.items()}

    def _evaluate(self, adapted: AdaptedModule) -> _Value:
        self.evaluations += 1
        weight, lora_a, lora_b = weights = _all_weights(adapted)
        with torch.autocast(weight.device.type, enabled=False):
            base = self._base.get(adapted.name)
            if base is None or base.is_stale([weight], 0.0):
                squares = torch.cat([torch.linalg.vector_norm(block, dim=1).square() for block in _float_rows(adapted)])
                base = self._base[adapted.name] = _Value.of(squares, [weight], 0.0)
            norm = _row_norm(adapted, base.value, _whole(lora_a).float(), _whole(lora_b).float())
        return _Value.of(norm, weights, _scaling(adapted))

    def _forget_rewritten(self) -> None:
        """Drops the norms of modules whose elements changed without a new version or address."""
        probes = torch.stack([_probe(tensor) for adapted in self._modules for tensor in _all_weights(adapted)])
        if self._probes is not None:
            changed = (probes != self._probes).view(-1, 3).tolist()  # the one synchronisation with the device
            for adapted, (base_changed, *adapter_changed) in zip(self._modules, changed, strict=True):
                if base_changed:
                    self._base.pop(adapted.name, None)
                if base_changed or any(adapter_changed):
                    self._norms.pop(adapted.name, None)
        self._probes = probes


@dataclass(frozen=True)
class _Value:
    """A value with what the weights it came from looked like.

    `memory` keeps their storage alive, so nothing swapped in later can lie at the same address.
    """

    value: Tensor
    memory: tuple[Tensor, ...]
    versions: tuple[int, ...]
    scaling: float

    @classmethod
    def of(cls, value: Tensor, weights: Sequence[Tensor], scaling: float) -> _Value:
        return cls(value, tuple(_local(weight) for weight in weights), tuple(w._version for w in weights), scaling)

    def is_stale(self, weights: Sequence[Tensor], scaling: float) -> bool:
        return self.scaling != scaling or any(
            old.data_ptr() != _local(new).data_ptr() or version != new._version
            for old, version, new in zip(self.memory, self.versions, weights, strict=True)
        )


def _row_norm(adapted: AdaptedModule, base_squares: Tensor, lora_a: Tensor, lora_b: Tensor) -> Tensor:
    """[o], the factored form at the module's text."""
    scaling = _scaling(adapted)
    weight_a = torch.cat([block @ lora_a.T for block in _float_rows(adapted)])
    cross = (weight_a * lora_b).sum(dim=1)
    update = ((lora_b @ (lora_a @ lora_a.T)) * lora_b).sum(dim=1)
    return (base_squares + 2 * scaling * cross + scaling**2 * update).clamp(min=0).sqrt()


def _float_rows(adapted: AdaptedModule) -> Iterator[Tensor]:
    """W in float32, some rows at a time; a quantised W is dequantised as a whole, as bitsandbytes can no other."""
    weight = _whole(dequantize_module_weight(adapted.module.get_base_layer()).detach())
    if getattr(adapted.module, "fan_in_fan_out", False):
        weight = weight.T
    if weight.dtype == torch.float32:
        yield weight
    else:
        yield from (block.float() for block in torch.split(weight, max(1, _BLOCK_ELEMENTS // weight.shape[1])))


def _all_weights(adapted: AdaptedModule) -> list[Tensor]:
    """W, A and B."""
    module, adapter = adapted.module, adapted.adapter
    return [module.get_base_layer().weight, module.lora_A[adapter].weight, module.lora_B[adapter].weight]


def _scaling(adapted: AdaptedModule) -> float:
    return float(adapted.module.scaling[adapted.adapter])


def _probe(tensor: Tensor) -> Tensor:
    """A sum over the elements with unequal weights, so that it sees signs and places, too."""
    elements = _local(tensor).reshape(-1)
    if not tensor.requires_grad:
        elements = elements[:: max(1, elements.numel() // _PROBED_ELEMENTS)]
    places = torch.arange(elements.numel(), device=elements.device, dtype=torch.float32)
    return elements.float() @ places.add_(1).rsqrt_()


def _local(tensor: Tensor) -> Tensor:
    """The tensor's memory on this process, detached."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
