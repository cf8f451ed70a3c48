"""Language-model head, cross-entropies and distillation on the supervised rows only, a chunk at a time.

Logits of shape [B, T, V] never exist. Each chunk's gradient is taken as soon as its loss is known, while its logits
are at hand, so the backward pass needs no logits and no second product with the head.

Legend: B samples, T columns of the batch, S of a pass, d hidden size, V vocabulary, R supervised rows, C rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.data.batch import Batch

CHUNK_ELEMENTS = 2**25
"""Most logits of one path held at a time: 128 MiB of float32."""

_CACHED_ELEMENTS = 2**19  # logits of one path that a CPU's cache holds with what a loss makes of them: 2 MiB


@dataclass(frozen=True)
class LossWeights:
    """Loss of a row: plain CE_off + echo CE_on + distillation tau^2 KL(teacher || student)."""

    plain: float = 1.0
    """Factor of the plain path's cross-entropy."""
    echo: float = 0.0
    """Factor of the echo path's cross-entropy."""
    distillation: float = 0.0
    """Factor of tau^2 KL."""
    temperature: float = 1.0
    """tau."""
    teacher: Literal["echo", "plain"] = "echo"
    """The path without gradient in KL."""


@dataclass(frozen=True)
class Rows:
    """Supervised rows that share their weights."""

    targets: Tensor
    """[R], the next tokens' ids."""
    plain: Tensor
    """[R, d], the plain path's last hidden states."""
    echo: Tensor | None
    """[R, d], the echo path's; None where it did not run, or did not need to."""
    weights: LossWeights
    """The factors."""
    echo_is_plain: bool = False
    """Whether the two paths have the same states here, so that CE_on is CE_off."""


@dataclass(frozen=True)
class RowLosses:
    """Sums over rows."""

    total: Tensor
    """Scalar with gradient: the weighted sum."""
    plain: Tensor
    """Scalar, detached: sum of CE_off."""
    echo: Tensor
    """Scalar, detached: sum of CE_on; 0 where the echo path did not run."""
    distillation: Tensor
    """Scalar, detached: sum of tau^2 KL; 0 where there is none."""


def plain_rows(batch: Batch, plain: Tensor) -> list[Rows]:
    """All supervised rows where only the plain path ran; `plain` is [B, T - 1, d]."""
    return [Rows(_targets(batch, batch.supervised), _gather(plain, batch.supervised), None, LossWeights())]


def paired_rows(
    batch: Batch, plain: Tensor, echo: Tensor, ran_twice: Tensor, weights: LossWeights, *, loss_on_prompts: bool
) -> list[Rows]:
    """The supervised rows of both paths. Distillation is on the rows before answer tokens only.

    Args:
        batch: the micro-batch.
        plain: [B, T - 1, d], last hidden states of the plain pass.
        echo: [.., d], those of the echo pass, one for each position it ran, in the same order.
        ran_twice: [B, T - 1] bool, the positions the echo pass ran; elsewhere the two paths have the same states.
        weights: the factors.
        loss_on_prompts: whether tokens outside answers are under the loss (`data.loss_on: all`).
    """

    def pair(mask: Tensor, weights: LossWeights) -> Rows:
        return Rows(_targets(batch, mask), _gather(plain, mask), _gather(echo, mask[ran_twice]), weights)

    groups = [pair(batch.supervised & batch.before_answers, weights)]
    if loss_on_prompts:
        prompts = batch.supervised & ~batch.before_answers
        ran_once = prompts & ~ran_twice
        undistilled = replace(weights, distillation=0.0)
        groups.append(pair(prompts & ran_twice, undistilled))
        groups.append(Rows(_targets(batch, ran_once), _gather(plain, ran_once), None, undistilled, echo_is_plain=True))
    return groups


def _targets(batch: Batch, mask: Tensor) -> Tensor:
    return batch.labels[:, 1:][mask]


def _gather(hidden: Tensor, mask: Tensor) -> Tensor:
    """[R, d]: the rows of `hidden`, [B, S, d], where `mask`, B x S, is True."""
    return hidden.flatten(0, 1).index_select(0, mask.flatten().nonzero().squeeze(1))


def row_losses(head: nn.Module, rows: Rows, chunk_elements: int = CHUNK_ELEMENTS) -> RowLosses:
    """The losses of some rows; with no rows they are zero and still part of the graph.

    Args:
        head: from hidden states to logits.
        rows: the rows.
        chunk_elements: most logits of one path to hold at a time.
    """
    trainable = [parameter for parameter in head.parameters() if parameter.requires_grad]
    inputs = [rows.plain] if rows.echo is None else [rows.plain, rows.echo]
    needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*inputs, *trainable))
    chunk = max(1, chunk_elements // cast(Tensor, head.weight).shape[0])
    total, sums = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        head, rows, chunk, needs_gradient, len(inputs), *inputs, *trainable
    )
    return RowLosses(total, *sums.unbind())


class _ChunkedLoss(torch.autograd.Function):
    """Sums the losses over chunks of rows, taking each chunk's gradient at once.

    The hidden states come first among `tensors`; the head's trainable parameters, where it has any, follow.
    """

    @staticmethod
    def forward(
        ctx: Any, head: nn.Module, rows: Rows, chunk: int, needs_gradient: bool, hidden_count: int, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden, trainable = tensors[:hidden_count], tensors[hidden_count:]
        sums = torch.zeros(4, dtype=torch.float32, device=hidden[0].device)
        gradients = [torch.zeros_like(tensor) for tensor in tensors] if needs_gradient else []
        for start in range(0, len(hidden[0]), chunk):
            part = slice(start, start + chunk)
            with torch.set_grad_enabled(needs_gradient):
                leaves = [states[part].detach().requires_grad_(needs_gradient) for states in hidden]
                logits = head(torch.cat(leaves)).float()  # one product for both paths
            paths = logits.detach().chunk(hidden_count)
            sums += _differentiate(paths, rows, rows.targets[part], needs_gradient)
            if needs_gradient:
                found = torch.autograd.grad(logits, [*leaves, *trainable], grad_outputs=logits.detach())
                _add(gradients, found, part, hidden_count)
        ctx.save_for_backward(*gradients)
        total, parts = sums[0].clone(), sums[1:].clone()
        ctx.mark_non_differentiable(parts)
        return total, parts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, None, None, *(gradient.to(saved.dtype) * saved for saved in ctx.saved_tensors))


def _add(gradients: list[Tensor], found: Sequence[Tensor], part: slice, hidden_count: int) -> None:
    for index, gradient in enumerate(found):
        if index < hidden_count:
            gradients[index][part] = gradient
        else:
            gradients[index] += gradient


def _differentiate(logits: Sequence[Tensor], rows: Rows, targets: Tensor, needs_gradient: bool) -> Tensor:
    """[4]: a chunk's losses. Writes the gradient of the weighted sum over the logits, which nobody needs afterwards.

    On a CPU it goes block by block, so that the temporaries of a loss stay in the cache.
    """
    sums = torch.zeros(4, dtype=torch.float32, device=targets.device)
    block = max(1, _CACHED_ELEMENTS // logits[0].shape[1]) if targets.device.type == "cpu" else len(targets)
    for start in range(0, len(targets), block):
        part = slice(start, start + block)
        sums += _weighted_losses([path[part] for path in logits], rows, targets[part], needs_gradient)
    return sums


def _weighted_losses(logits: Sequence[Tensor], rows: Rows, targets: Tensor, needs_gradient: bool) -> Tensor:
    """[4]: the weighted sum, CE_off, CE_on and tau^2 KL of logits [C, V], the plain path's and the echo path's if it ran.

    Writes the weighted sum's gradient over the logits, by its formulas: autograd takes twice the passes over memory.
    """
    weights, both = rows.weights, len(logits) == 2
    distillation, slope, student = logits[0].new_zeros(()), None, logits[0]
    if both and weights.distillation:
        teacher, student = (logits[1], logits[0]) if weights.teacher == "echo" else logits
        distillation, slope = divergence(teacher, student, weights.temperature)
    plain = _cross_entropy(logits[0], targets, weights.plain + weights.echo * rows.echo_is_plain, needs_gradient)
    echo = plain if rows.echo_is_plain else plain.new_zeros(())
    if both:
        echo = _cross_entropy(logits[1], targets, weights.echo, needs_gradient)
    if slope is not None and needs_gradient:
        student.add_(slope, alpha=weights.distillation)
    total = weights.plain * plain + weights.echo * echo + weights.distillation * distillation
    return torch.stack([total, plain, echo, distillation])


def _cross_entropy(logits: Tensor, targets: Tensor, weight: float, needs_gradient: bool) -> Tensor:
    """The cross-entropy summed over rows, [C, V]; the logits become `weight` (softmax - one-hot), its gradient."""
    if not weight:
        logits.zero_()
        return logits.new_zeros(())
    log_probabilities = F.log_softmax(logits, dim=-1)
    if needs_gradient:
        torch.exp(log_probabilities, out=logits)
        logits.scatter_add_(1, targets[:, None], -torch.ones_like(logits[:, :1]))
        logits.mul_(weight)
    return F.nll_loss(log_probabilities, targets, reduction="sum")


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """tau^2 KL(teacher || student), summed over the rows of logits [C, V], and its gradient over the student's."""
    expected = F.log_softmax(teacher / temperature, dim=-1)
    predicted = F.log_softmax(student / temperature, dim=-1)
    gap = expected - predicted
    expected.exp_()
    value = gap.mul_(expected).sum() * temperature**2
    slope = predicted.exp_().sub_(expected).mul_(temperature)  # tau^2 times d KL / d (student / tau), times 1 / tau
    return value, slope
