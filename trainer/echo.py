"""EchoPath: from a sample's boundary states to the vectors that its shallow adapted modules receive.

    z = LayerNorm(mean over the source layers of the layer's output at the boundary), no gradient
    vector of a module = scale * sigmoid(G(z)) * P(z),   P = W2 tanh(W1 z),   G = U2 tanh(U1 z) + c

W1 and U1 start random, W2 and U2 at zero: training starts exactly at the plain adapter and the gradient of W2 is not
zero (design, method.md section 3; the form of P and G is second-hand, arXiv 2605.08177 names them only).

Legend: B samples, d hidden size, q bottleneck, f features of the place of injection (out-features, or the rank).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.errors import UserError
from schemas.train_config import EchoConfig
from trainer.adapted_forward import AdaptedModule


def source_layers(echo: EchoConfig, depth: int) -> list[int]:
    """The decoder layers read at the boundary; by default four spread evenly over the deepest third.

    Args:
        echo: the echo section.
        depth: L, the model's decoder layers.
    """
    if echo.source_layers is not None:
        return _counted_from_zero(echo.source_layers, depth, "echo.source_layers")
    first, last = depth - math.ceil(depth / 3), depth - 1
    return sorted({round(first + (last - first) * step / 3) for step in range(4)})


def target_layers(echo: EchoConfig, depth: int) -> list[int]:
    """The decoder layers whose adapted modules receive the echo; by default the shallow half."""
    if echo.target_layers is not None:
        return _counted_from_zero(echo.target_layers, depth, "echo.target_layers")
    return list(range(max(1, depth // 2)))


def _counted_from_zero(layers: Sequence[int], depth: int, key: str) -> list[int]:
    outside = [layer for layer in layers if not -depth <= layer < depth]
    if outside:
        raise UserError(
            f"{key} names layer {outside[0]}, but the base model has {depth} decoder layers",
            where=key,
            fix=f"name layers from 0 to {depth - 1}, or from -{depth} to -1 counted from the end",
        )
    named = sorted({layer % depth for layer in layers})
    if len(named) != len(layers):
        raise UserError(f"{key} names a layer twice, once from the start and once from the end", where=key)
    return named


class Injector(nn.Module):
    """The projection and gate networks of one adapted module."""

    def __init__(self, hidden: int, bottleneck: int, features: int, echo: EchoConfig) -> None:
        super().__init__()
        self.scale = echo.scale
        self.projection_in = nn.Linear(hidden, bottleneck, bias=False)  # W1
        self.projection_out = nn.Linear(bottleneck, features, bias=False)  # W2
        self.gate_in = nn.Linear(hidden, bottleneck, bias=False)  # U1
        self.gate_out = nn.Linear(bottleneck, features)  # U2 and c
        self.gate_bias = echo.gate_bias

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """W1, U1 of variance 1 / d, since z has unit variance; W2, U2 zero; c the configured bias."""
        for first in (self.projection_in, self.gate_in):
            nn.init.normal_(first.weight, std=first.in_features**-0.5, generator=generator)
        nn.init.zeros_(self.projection_out.weight)
        nn.init.zeros_(self.gate_out.weight)
        nn.init.constant_(self.gate_out.bias, self.gate_bias)

    def forward(self, z: Tensor) -> Tensor:
        """The injected vector, [B, f], of z, [B, d]."""
        projection = self.projection_out(torch.tanh(self.projection_in(z)))
        gate = torch.sigmoid(self.gate_out(torch.tanh(self.gate_in(z))))
        injected: Tensor = self.scale * gate * projection
        return injected


class EchoPath(nn.Module):
    """The parameters of the echo path: float32, in no exported adapter.

    Args:
        echo: the echo section of the config.
        targets: the adapted modules that receive the echo.
        hidden: d.
        seed: fixes the initial weights, whatever ran before.
    """

    def __init__(self, echo: EchoConfig, targets: Sequence[AdaptedModule], hidden: int, seed: int) -> None:
        super().__init__()
        self.content = echo.content
        self.place = echo.place
        self.target_names = tuple(target.name for target in targets)
        injectors = [Injector(hidden, echo.bottleneck, _features(target, echo), echo) for target in targets]
        self.injectors = nn.ModuleList(injectors)
        generator = torch.Generator().manual_seed(seed)
        for injector in injectors:
            injector.initialise(generator)
        if echo.content == "constant":
            self.constant = nn.Parameter(torch.randn(hidden, generator=generator))

    def forward(self, boundary_states: Sequence[Tensor]) -> dict[str, Tensor]:
        """The vector that each target module receives, [B, f] float32, by the module's name.

        Args:
            boundary_states: for each source layer its output at the boundary, [B, d].
        """
        with torch.autocast(boundary_states[0].device.type, enabled=False):
            z = self._content(summary(boundary_states))
            return {name: injector(z) for name, injector in zip(self.target_names, self.injectors, strict=True)}

    def _content(self, z: Tensor) -> Tensor:
        if self.content == "constant":
            return normalise(self.constant).expand_as(z)
        return another_samples(z) if self.content == "shuffled" else z


def another_samples(z: Tensor) -> Tensor:
    """[B, d]: every sample gets its predecessor's echo, so never its own.

    A micro-batch of one, such as the rest of an epoch, has no other sample: it gets zeros, which inject nothing.
    """
    return z.roll(1, dims=0) if len(z) > 1 else torch.zeros_like(z)


def summary(boundary_states: Sequence[Tensor]) -> Tensor:
    """z, [B, d]: the normalised mean over the source layers, without gradient."""
    return normalise(torch.stack([state.detach().float() for state in boundary_states]).mean(dim=0))


def normalise(z: Tensor) -> Tensor:
    """LayerNorm without parameters."""
    return F.layer_norm(z, z.shape[-1:])


def _features(target: AdaptedModule, echo: EchoConfig) -> int:
    features: int = target.module.out_features if echo.place == "output" else target.module.r[target.adapter]
    return features
