"""RunningStatistics: what the samples' echoes have in common, so that it can be taken out of them.

    m, S   means of x and of x x^T over a step's samples, averaged over the steps with weight max(rate, 1 / (k + 1)) for step k
    centred  x - m                 whitened  (x - m) C^(-1/2),   C = 0.9 (S - m m^T) + 0.1 tr(S - m m^T) / d I

In a step they are those of the steps before it: the same for all its micro-batches and processes. Before the first step
has been seen z is zero, which injects nothing. They are plain tensors and no buffers: DDP would overwrite those of a step
under way with the first process's.

Legend: B samples, d hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_SHRINKAGE = 0.1

Reduce = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes."""


class RunningStatistics:
    """The statistics of one run, float64.

    Args:
        rate: least weight of a step.
        whitened: whether the covariance is kept, d x d numbers and an eigendecomposition a step.
    """

    def __init__(self, rate: float, *, whitened: bool) -> None:
        self.rate, self.whitened = rate, whitened
        self._kept: dict[str, Tensor] = {}
        self._step: dict[str, Tensor] = {}
        self._root: Tensor | None = None

    def collect(self, x_Bd: Tensor, counts_B: Tensor) -> None:
        """Adds samples of the step under way.

        Args:
            x_Bd: their states.
            counts_B: bool, whether a row is a sample, and no filler.
        """
        rows = x_Bd.detach().double() * counts_B[:, None]
        found = {"count": counts_B.sum().double(), "mean": rows.sum(dim=0)}
        if self.whitened:
            found["square"] = rows.T @ rows
        self._step = {name: self._step[name] + value if self._step else value for name, value in found.items()}

    def end_step(self, reduce: Reduce) -> None:
        """Takes in what was collected, over all processes."""
        if not self._step:
            return
        sums = {name: reduce(value) for name, value in self._step.items()}
        count = sums.pop("count").clamp(min=1)
        steps = self._kept.get("steps", torch.zeros_like(count))
        weight = (1 / (steps + 1)).clamp(min=self.rate)
        kept = {
            name: torch.lerp(self._kept.get(name, total / count), total / count, weight) for name, total in sums.items()
        }
        self._kept, self._step, self._root = kept | {"steps": steps + 1}, {}, None

    def distinct(self, x_Bd: Tensor) -> Tensor:
        """[B, d] in x's type: x without what is common to all samples; zeros before anything is known."""
        if not self._kept:
            return torch.zeros_like(x_Bd)
        centred_Bd = x_Bd - self._kept["mean"].to(x_Bd)
        return centred_Bd @ self._inverse_root().to(x_Bd) if self.whitened else centred_Bd

    def _inverse_root(self) -> Tensor:
        """[d, d]: C^(-1/2), once a step."""
        if self._root is None:
            mean_d = self._kept["mean"]
            covariance = self._kept["square"] - torch.outer(mean_d, mean_d)
            values, vectors = torch.linalg.eigh(covariance)
            values = (1 - _SHRINKAGE) * values.clamp(min=0) + _SHRINKAGE * values.clamp(min=0).mean() + 1e-12
            self._root = (vectors * values.rsqrt()) @ vectors.T
        return self._root

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return dict(self._kept)

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Puts back what `tensors` gave, bit for bit."""
        self._kept, self._step, self._root = {name: value.to(device) for name, value in tensors.items()}, {}, None
