"""EchoPath: from what was read of a sample to the vectors that its shallow adapted modules receive.

    x = LayerNorm(mean over the source layers of what was read there: by default the layer's output at the boundary)
    z = x, or LayerNorm(x without what all samples have in common) (trainer/echo/running_statistics.py)
    vector of a module = scale * sigmoid(G(z)) * P(z),   P = W2 tanh(W1 z),   G = U2 tanh(U1 z) + c

W1 and U1 start random, W2 and U2 at zero: training starts exactly at the plain adapter and the gradient of W2 is not
zero (docs/method.md, the definition; the form of P and G is second-hand, arXiv 2605.08177 names them only).

Legend: B samples, d hidden size, q bottleneck, f features of the place of injection (out-features, or the rank), n adapted
modules of one f, L source layers. A name's suffix is its shape: z_Bd is [B, d].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from schemas.training.echo_config import EchoConfig
from trainer.echo.running_statistics import RunningStatistics
from trainer.model.lora_forward import AdaptedModule


class Injectors(nn.Module):
    """The projection and sigmoid networks of all adapted modules of one width, side by side: a few products for all of them.

    Args:
        count: n, the modules.
        hidden: d.
        features: f.
        echo: the echo section of the config.
    """

    def __init__(self, count: int, hidden: int, features: int, echo: EchoConfig) -> None:
        super().__init__()
        self.dropout = echo.dropout
        scale_n11 = torch.full((count, 1, 1), echo.scale)
        self.scale = nn.Parameter(scale_n11) if echo.learn_scale else echo.scale
        """lambda; [n, 1, 1] where it is learned."""
        self.inner = nn.Parameter(torch.empty(2, count, echo.bottleneck, hidden))
        """[2, n, q, d]: W1 of each module, then U1 of each."""
        self.outer = nn.Parameter(torch.zeros(2, count, features, echo.bottleneck))
        """[2, n, f, q]: W2 of each, then U2 of each."""
        self.sigmoid_bias = nn.Parameter(torch.full((count, features), echo.sigmoid_bias))
        """[n, f]: c."""

    @torch.no_grad()
    def initialise(self, index: int, generator: torch.Generator) -> None:
        """One module's W1 and U1: of variance 1 / d, since z has unit variance."""
        for weight in self.inner[:, index]:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)

    def forward(self, z_Bd: Tensor) -> Tensor:
        """The injected vectors, [n, B, f]."""
        inner = torch.tanh(F.linear(z_Bd, self.inner.flatten(0, 2)))  # one product: [B, d] x [2 n q, d] -> [B, 2 n q]
        if self.dropout:
            inner = F.dropout(inner, self.dropout, self.training)
        inner_2nBq = inner.view(len(z_Bd), *self.inner.shape[:3]).permute(1, 2, 0, 3)
        projection_nBf, logits_nBf = (inner_2nBq @ self.outer.mT).unbind()  # [2, n, B, q] x [2, n, q, f]
        injected_nBf: Tensor = self.scale * torch.sigmoid(logits_nBf + self.sigmoid_bias[:, None]) * projection_nBf
        return injected_nBf


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
        self.names: dict[str, list[str]] = {}  # by width
        for target in targets:
            self.names.setdefault(str(_features(target, echo)), []).append(target.name)
        groups = {width: Injectors(len(names), hidden, int(width), echo) for width, names in self.names.items()}
        self.injectors = nn.ModuleDict(groups)
        generator = torch.Generator().manual_seed(seed)
        for target in targets:
            width = str(_features(target, echo))
            groups[width].initialise(self.names[width].index(target.name), generator)
        whitened = echo.normalisation == "whitened"
        self.statistics = RunningStatistics(echo.statistics_rate, whitened=whitened) if echo.keeps_statistics else None
        if echo.content == "constant":
            self.constant = nn.Parameter(torch.randn(hidden, generator=generator))

    def forward(self, read_states: Sequence[Tensor], counts_B: Tensor | None = None) -> dict[str, Tensor]:
        """The vector that each target module receives, [B, f] float32, by the module's name.

        Args:
            read_states: what was read of each of the L source layers, [B, d].
            counts_B: bool, whether a row is a sample, and no filler; None counts all.
        """
        with torch.autocast(read_states[0].device.type, enabled=False):
            if self.statistics is not None and self.training:
                x_Bd = summary(read_states)
                counts_B = counts_B if counts_B is not None else torch.ones_like(x_Bd[:, 0], dtype=torch.bool)
                self.statistics.collect(x_Bd, counts_B)
            z_Bd = self._content(self.z(read_states))
            return {
                name: vector_Bf
                for width, injectors in self.injectors.items()
                for name, vector_Bf in zip(self.names[width], injectors(z_Bd).unbind(), strict=True)
            }

    def z(self, read_states: Sequence[Tensor]) -> Tensor:
        """[B, d]: each sample's echo, before a control takes another in its place."""
        x_Bd = summary(read_states)
        return x_Bd if self.statistics is None else normalise(self.statistics.distinct(x_Bd))

    def _content(self, z_Bd: Tensor) -> Tensor:
        """What is injected: the samples' own echo, or one of the controls."""
        if self.content == "constant":
            return normalise(self.constant).expand_as(z_Bd)
        return another_samples(z_Bd) if self.content == "shuffled" else z_Bd


def another_samples(z_Bd: Tensor) -> Tensor:
    """[B, d]: every sample gets its predecessor's echo, so never its own.

    A micro-batch of one, such as the rest of an epoch, has no other sample: it gets zeros, which inject nothing.
    """
    return z_Bd.roll(1, dims=0) if len(z_Bd) > 1 else torch.zeros_like(z_Bd)


def summary(read_states: Sequence[Tensor]) -> Tensor:
    """x, [B, d]: the normalised mean over the source layers."""
    states_LBd = torch.stack([state_Bd.float() for state_Bd in read_states])
    return normalise(states_LBd.mean(dim=0))


def normalise(z: Tensor) -> Tensor:
    """LayerNorm over the last dimension, without parameters."""
    return F.layer_norm(z, z.shape[-1:])


def _features(target: AdaptedModule, echo: EchoConfig) -> int:
    features: int = target.module.out_features if echo.place == "output" else target.module.r[target.adapter]
    return features
