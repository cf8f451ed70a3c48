"""Representation distillation: at the answers, the plain path's shallow layers learn to put out what the echo path's do.

    sum over supervised positions of the mean over target layers of mean_d (LN(h_plain) - LN(h_echo))^2,   h_echo detached

The echo reaches the deployed weights through the logits alone otherwise; this asks the injected layers themselves. It is
no part of the paper, and off unless `echo.distillation.representations` has a weight.

Legend: B samples, S columns of an echo pass, d hidden size, R rows that count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.echo.chunked_loss import gather
from trainer.echo.injector import normalise

States = Mapping[int, Tensor]
"""By layer: what it put out, [B, S, d]."""


def representation_gap(plain: States, echo: States, rows: tuple[Tensor, Tensor]) -> Tensor:
    """The sum above: a float32 scalar with a gradient to the plain states.

    Args:
        plain: states of the plain pass.
        echo: states of the echo pass, of the same layers.
        rows: [R] each, the rows that count, in the one and in the other.
    """
    gaps = []
    for layer, echo_BSd in echo.items():
        ours_Rd, theirs_Rd = gather(plain[layer], rows[0]), gather(echo_BSd.detach(), rows[1])
        distance_Rd = normalise(ours_Rd.float()) - normalise(theirs_Rd.float())
        gaps.append(distance_Rd.square().mean(dim=1).sum())
    return torch.stack(gaps).mean()
