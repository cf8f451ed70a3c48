"""RowNorms: ||W + s B A|| by rows for every DoRA module, without ever making W + s B A.

    ||W + s B A||^2 = ||W||^2 + 2 s rowsum((W A^T) * B) + s^2 rowsum((B (A A^T)) * B)

One product with r columns (arXiv 2603.22276 has the same form). The norm is detached (DoRA, arXiv 2402.09353 section
4.3), so it is a constant of the optimizer step: evaluated once, shared by both paths, all micro-batches and
recomputations. PEFT evaluates it through an identity matrix and the whole product on every forward.

Legend: o out-features, i in-features, r rank, j rows of a block; W [o, i], A [r, i], B [o, r].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor
from torch.distributed.tensor import DTensor

from trainer.model.lora_forward import AdaptedModule

_BLOCK_ELEMENTS = 2**22
"""Most elements of W converted to float32 at a time: 16 MiB."""


class RowNorms:
    """The row norms of all DoRA modules, kept until `invalidate`.

    Nothing is looked at to find out whether a weight has changed: that would wait for the device at every micro-batch.
    Whoever writes to an adapter's weights says so. In the trainer two do, the optimizer's step (trainer/loop/step.py) and
    a restored checkpoint (trainer/loop/optimizer.py). W is frozen: its own norm is evaluated once and kept for good.
    """

    def __init__(self, modules: Sequence[AdaptedModule]) -> None:
        self._modules = modules
        self._base_squares: dict[str, Tensor] = {}
        self._norms: dict[str, Tensor] = {}
        self.evaluations = 0
        """How many norms were evaluated, for tests and the bench."""

    def invalidate(self) -> None:
        """To be called after every write to the adapter's weights or scaling: the next pass evaluates the norms anew."""
        self._norms = {}

    @torch.no_grad()
    def current(self) -> dict[str, Tensor]:
        """[o] float32 for each module's name."""
        if not self._norms:
            self._norms = {adapted.name: self._evaluate(adapted) for adapted in self._modules}
        return self._norms

    def _evaluate(self, adapted: AdaptedModule) -> Tensor:
        """[o], the factored form at the module's text."""
        self.evaluations += 1
        module, adapter = adapted.module, adapted.adapter
        scaling = float(module.scaling[adapter])
        with torch.autocast(module.get_base_layer().weight.device.type, enabled=False):
            a_ri, b_or = (_whole(lora[adapter].weight).float() for lora in (module.lora_A, module.lora_B))
            if adapted.name not in self._base_squares:
                squares = [torch.linalg.vector_norm(block_ji, dim=1).square() for block_ji in _float_rows(adapted)]
                self._base_squares[adapted.name] = torch.cat(squares)
            product_or = torch.cat([block_ji @ a_ri.T for block_ji in _float_rows(adapted)])  # W A^T, block by block
            cross_o = (product_or * b_or).sum(dim=1)
            update_o = ((b_or @ (a_ri @ a_ri.T)) * b_or).sum(dim=1)  # [o, r] of [r, r]: B A is never made
            squares_o = self._base_squares[adapted.name] + 2 * scaling * cross_o + scaling**2 * update_o
            return squares_o.clamp(min=0).sqrt()


def _float_rows(adapted: AdaptedModule) -> Iterator[Tensor]:
    """[j, i]: W in float32, some rows at a time; a quantised W is dequantised whole, as bitsandbytes can no other."""
    weight = _whole(dequantize_module_weight(adapted.module.get_base_layer()).detach())
    if getattr(adapted.module, "fan_in_fan_out", False):
        weight = weight.T
    if weight.dtype == torch.float32:
        yield weight
    else:
        yield from (block.float() for block in torch.split(weight, max(1, _BLOCK_ELEMENTS // weight.shape[1])))


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
