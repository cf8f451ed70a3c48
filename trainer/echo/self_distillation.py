"""Self-distillation, a baseline of the studies: the adapter's weights averaged over the steps teach the plain path.

    average <- decay average + (1 - decay) weights, after every optimizer step

The teacher runs whole batches without dropout or gradient; nothing is injected (`echo.distillation.teacher: average`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from trainer.data.batch import Batch
from trainer.echo.chunked_loss import RowLosses, paired_losses
from trainer.echo.layer_pass import Forwards, LayerPass, Norms, Paths, whole_pass
from trainer.model.lora_forward import AdaptedForward, AdaptedModule


class AveragedAdapter:
    """The average of every module's A and B.

    Args:
        adapted: the modules, at the start of training.
        decay: how much of the average stays at a step.
    """

    def __init__(self, adapted: Sequence[AdaptedModule], decay: float) -> None:
        self.adapted, self.decay = adapted, decay
        self._average = {name: weight.detach().clone() for name, weight in self._weights().items()}

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{one.name}.{part}": lora[one.adapter].weight
            for one in self.adapted
            for part, lora in (("A", one.module.lora_A), ("B", one.module.lora_B))
        }

    @torch.no_grad()
    def end_step(self) -> None:
        """Moves the average towards the weights that the optimizer has just written."""
        for name, weight in self._weights().items():
            self._average[name].lerp_(weight, 1 - self.decay)

    def forwards(self, layers: int) -> Forwards:
        """The forward of every adapted module with the averaged weights."""
        forwards: list[list[tuple[AdaptedModule, AdaptedForward]]] = [[] for _ in range(layers)]
        for one in self.adapted:
            weights = self._average[f"{one.name}.A"], self._average[f"{one.name}.B"]
            forwards[one.layer].append((one, _AveragedForward(weights=weights)))
        return forwards

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return dict(self._average)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `tensors` gave, bit for bit."""
        for name, average in self._average.items():
            average.copy_(tensors[name])


@dataclass
class _AveragedForward(AdaptedForward):
    """LoRA's forward with given weights, without dropout."""

    weights: tuple[Tensor, Tensor] | None = None
    """A and B."""

    @override
    def _updated(self, module: LoraLinear, adapter: str, x_BSi: Tensor, result_BSo: Tensor) -> Tensor:
        assert self.weights is not None
        a_ri, b_or = self.weights
        return result_BSo + F.linear(F.linear(x_BSi, a_ri) * module.scaling[adapter], b_or)


def self_distillation(paths: Paths, batch: Batch, norms: Norms, *, average: AveragedAdapter) -> RowLosses:
    """The losses of a micro-batch whose step runs the second pass; `two_pass` with another teacher."""
    with torch.no_grad():
        teacher_BTd = whole_pass(paths, LayerPass(average.forwards(len(paths.layers))), batch)
    plain_BTd = whole_pass(paths, LayerPass(paths.forwards(norms)), batch)
    return paired_losses(paths.head, batch, plain_BTd, teacher_BTd, batch.in_whole_pass, paths.weights)
