"""Representation distillation: at the answers, the plain path's shallow layers learn to put out what the echo path's do.

    sum over supervised positions of the mean over target layers of mean_d (LN(h_plain) - LN(h_echo))^2,   h_echo detached

The echo reaches the deployed weights through the logits alone otherwise; this asks the injected layers themselves. It is
no part of the paper, and off unless `echo.distillation.representations` has a weight (issue 6, item 6).

Legend: B samples, T columns of the plain pass, d hidden size, R rows of a packed echo pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.echo.injector import normalise
from trainer.echo.layer_pass import Suffix

States = Mapping[int, Tensor]
"""By layer: what it put out, [B, T - 1, d]; of a packed echo pass [1, R, d]."""


def representation_gap(plain: States, echo: States, positions: Tensor, suffix: Suffix | None) -> Tensor:
    """The sum above: a float32 scalar with a gradient to the plain states.

    Args:
        plain: states of the plain pass.
        echo: states of the echo pass, of the same layers.
        positions: [B, T - 1] bool, the positions that count.
        suffix: which rows the echo pass ran; None where it ran all.
    """
    gaps = []
    for layer, states in echo.items():
        if suffix is None:
            wanted, ours, theirs = positions.flatten(), plain[layer].flatten(0, 1), states.flatten(0, 1)
        else:
            wanted = suffix.pack(positions)[0]
            ours = plain[layer][:, suffix.boundary :].flatten(0, 1).index_select(0, suffix.rows)
            theirs = states[0]
        distance = normalise(ours[wanted].float()) - normalise(theirs[wanted].detach().float())
        gaps.append(distance.square().mean(dim=1).sum())
    return torch.stack(gaps).mean()
