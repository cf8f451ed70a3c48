"""Reading: at which positions the source layers are read in the plain pass, and how a sample's states there become one.

Legend: B samples, T columns of a whole pass, d hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from schemas.training.echo_config import EchoConfig
from trainer.data.batch import Batch


@dataclass(frozen=True)
class Edges:
    """Tokens that all training prompts share at their ends: the template's, around the question."""

    first: int = 0
    """How many every prompt begins with."""
    last: int = 0
    """How many every prompt ends with."""


NO_EDGES = Edges()


def common_edges(prompts: Sequence[Sequence[int]]) -> Edges:
    """What the prompts share at their ends, at least one token of each left over; nothing where they are all the same."""
    shortest = min(len(prompt) for prompt in prompts)
    first = _shared(prompts, range(shortest - 1))
    last = _shared(prompts, range(-1, first - shortest, -1))
    same = first + last == shortest - 1 and len({tuple(prompt) for prompt in prompts}) == 1
    return NO_EDGES if same else Edges(first, last)


def _shared(prompts: Sequence[Sequence[int]], indices: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda i: all(prompt[i] == prompts[0][i] for prompt in prompts), indices))


class Reading:
    """How one pass is read. No dataclass, which FSDP2 would make anew among a layer's arguments.

    Args:
        boundary_rows: [B], the rows of B x T that hold the boundaries, to read where there are no weights.
        weights_BT: [B, T] float32, of each position in its sample's mean; None reads the boundary alone.
        with_gradient: whether what is read stays in the autograd graph.
    """

    def __init__(self, boundary_rows: Tensor, weights_BT: Tensor | None, *, with_gradient: bool) -> None:
        self.boundary_rows, self.weights, self.with_gradient = boundary_rows, weights_BT, with_gradient

    def of(self, output_BTd: Tensor) -> Tensor:
        """[B, d] float32: a layer's output as the echo sees it."""
        output_BTd = output_BTd if self.with_gradient else output_BTd.detach()
        if self.weights is None:
            return output_BTd.flatten(0, 1).index_select(0, self.boundary_rows).float()  # [B T, d] -> [B, d]
        with torch.autocast(output_BTd.device.type, enabled=False):
            return torch.bmm(self.weights[:, None], output_BTd.float())[:, 0]  # [B, 1, T] x [B, T, d]


def reading_of(batch: Batch, echo: EchoConfig, edges: Edges) -> Reading:
    """How the plain pass over a batch is read."""
    weights_BT = None
    if echo.content == "oracle" or echo.pooling != "boundary":
        read_BT = _answers(batch) if echo.content == "oracle" else _of_the_prompt(batch, echo, edges)
        weights_BT = read_BT / read_BT.sum(dim=1, keepdim=True).clamp(min=1)  # no token, no echo: z is zero
    return Reading(batch.boundary_rows, weights_BT, with_gradient=echo.gradient_to_echo)


def _answers(batch: Batch) -> Tensor:
    """[B, T] bool: the answers' own tokens, but for a last one that no pass runs."""
    return batch.completion_mask[:, :-1] & batch.attention_mask[:, :-1]


def _of_the_prompt(batch: Batch, echo: EchoConfig, edges: Edges) -> Tensor:
    """[B, T] bool: the prompt's last tokens, or its question's; where it has no question, its last token."""
    columns_T, end_B1 = (
        torch.arange(batch.input_ids.shape[1] - 1, device=batch.boundaries.device),
        batch.boundaries[:, None],
    )
    if echo.pooling == "last":
        return (columns_T <= end_B1) & (columns_T > end_B1 - echo.pooled_tokens)
    question_BT = (columns_T >= edges.first) & (columns_T <= end_B1 - edges.last)
    return question_BT | ((columns_T == end_B1) & ~question_BT.any(dim=1, keepdim=True))
