"""The readable reference: the plain pass over the whole batch, then the echo pass over the whole batch.

Legend: B samples, T columns of the batch, d hidden size. The last column predicts nothing and is not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.data.batch import Batch
from trainer.echo.layer_pass import LayerPass, run_layers
from trainer.model.lora_forward import Injection


def whole_pass(backbone: nn.Module, layer_pass: LayerPass, batch: Batch) -> Tensor:
    """One pass over all columns but the last: [B, T - 1, d]."""
    return run_layers(
        backbone, layer_pass, batch.input_ids[:, :-1], batch.attention_mask[:, :-1], batch.position_ids[:, :-1]
    )


def receiving_positions(batch: Batch, positions: Literal["answers", "all"]) -> Tensor:
    """[B, T - 1] bool: the positions that receive the echo."""
    return batch.before_answers if positions == "answers" else batch.attention_mask[:, :-1]


def receivers(positions: Tensor) -> Tensor:
    """[B x S, B] float32: for each row of a pass over S columns, 1 at its sample if it receives the echo.

    Args:
        positions: [B, S] bool, the receiving positions.
    """
    samples = torch.eye(len(positions), device=positions.device)
    return (positions[:, :, None] * samples[:, None, :]).flatten(0, 1)


def injections(
    vectors: Mapping[str, Tensor], receiving: Tensor, place: Literal["output", "rank"]
) -> dict[str, Injection]:
    """The echo of each target module, by its name.

    Args:
        vectors: what the echo path made, [B, f] by module name.
        receiving: [rows, B], see `receivers`.
        place: where in the module it is added.
    """
    return {name: Injection(vector, receiving, place) for name, vector in vectors.items()}
