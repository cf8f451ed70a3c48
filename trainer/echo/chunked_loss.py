"""Language-model head, cross-entropies and distillation on the supervised rows only, a chunk at a time.

Logits of shape [B, T, V] never exist. Each chunk's gradient is taken as soon as its loss is known, while its logits
are at hand, so the backward pass needs no logits and no second product with the head.

Legend: B samples, T columns of a whole pass, S of any pass, d hidden size, V vocabulary, R supervised rows, c rows of a
chunk. A name's suffix is its shape: logits_cV is [c, V].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.data.batch import Batch, PairedRows

Slopes = tuple[tuple[Tensor, Tensor], ...]
"""Logits and a gradient over them, path by path."""

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
    teacher: Literal["echo", "plain", "both"] = "echo"
    """The path without gradient in KL; `both` is half of KL each way, with gradients to both paths."""


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

    @property
    def are_compared(self) -> bool:
        """Whether the two paths' logits are held against each other."""
        return self.echo is not None and bool(self.weights.distillation)


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

    @classmethod
    def sum(cls, parts: Iterable[RowLosses]) -> RowLosses:
        """The losses of several kinds of rows together."""
        totals, *sums = zip(*((part.total, part.plain, part.echo, part.distillation) for part in parts), strict=True)
        return cls(torch.stack(totals).sum(), *(torch.stack(values).sum() for values in sums))

    def plus(self, loss: Tensor) -> RowLosses:
        """With another term in the total."""
        return replace(self, total=self.total + loss)


def plain_losses(head: nn.Module, batch: Batch, plain_BTd: Tensor) -> RowLosses:
    """The losses of a micro-batch where only the plain path ran."""
    at = batch.supervised_rows
    return row_losses(head, Rows(_targets(batch, at), gather(plain_BTd, at), None, LossWeights()))


def paired_losses(
    head: nn.Module, batch: Batch, plain_BTd: Tensor, echo_BSd: Tensor, rows: PairedRows, weights: LossWeights
) -> RowLosses:
    """The losses of a micro-batch where both paths ran. Distillation is on the rows before answer tokens only.

    Args:
        head: from hidden states to logits.
        batch: the micro-batch.
        plain_BTd: last hidden states of the plain pass.
        echo_BSd: those of the echo pass.
        rows: the supervised rows and their places in the echo pass; where it did not run the paths have the same states.
        weights: the factors.
    """

    def pair(at: tuple[Tensor, Tensor], weights: LossWeights) -> Rows:
        return Rows(_targets(batch, at[0]), gather(plain_BTd, at[0]), gather(echo_BSd, at[1]), weights)

    groups = [pair(rows.answers, weights)]
    undistilled = replace(weights, distillation=0.0)
    if len(rows.prompts[0]):
        groups.append(pair(rows.prompts, undistilled))
    if len(rows.once):
        plain_Rd = gather(plain_BTd, rows.once)
        groups.append(Rows(_targets(batch, rows.once), plain_Rd, None, undistilled, echo_is_plain=True))
    return RowLosses.sum(row_losses(head, rows) for rows in groups)


def _targets(batch: Batch, rows: Tensor) -> Tensor:
    return batch.labels[:, 1:].flatten().index_select(0, rows)


def gather(hidden_BSd: Tensor, rows: Tensor) -> Tensor:
    """[R, d]: some of the B x S rows. By index, whose gradient is an index_add: a mask's would be several times the price."""
    return hidden_BSd.flatten(0, 1).index_select(0, rows)


def row_losses(head: nn.Module, rows: Rows, chunk_elements: int = CHUNK_ELEMENTS) -> RowLosses:
    """The losses of some rows; with no rows they are zero and still part of the graph.

    Args:
        head: from hidden states to logits.
        rows: the rows.
        chunk_elements: most logits of one path to hold at a time.
    """
    trainable = [parameter for parameter in head.parameters() if parameter.requires_grad]
    hidden = [rows.plain] if rows.echo is None else [rows.plain, rows.echo]
    needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (*hidden, *trainable))
    chunk = max(1, chunk_elements // cast(Tensor, head.weight).shape[0])
    total, sums = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        head, rows, chunk, needs_gradient, len(hidden), *hidden, *trainable
    )
    return RowLosses(total, *sums.unbind())


class _ChunkedLoss(torch.autograd.Function):
    """Sums the losses over chunks of rows, taking each chunk's gradient at once.

    The hidden states come first among `tensors`; the head's trainable parameters, where it has any, follow.

    The gradient by hand: the loss L is a sum over rows, so dL/dh of a row needs that row's logits alone. The forward
    writes dL/dlogits over the logits (`_weighted_losses`), takes it back through the head to dL/dh while they are
    there, [c, V] -> [c, d], and keeps the dL/dh of all rows, [R, d]. What comes in afterwards is a scalar g = dX/dL,
    so backward is g dL/dh. It cannot be differentiated again: that graph is gone.
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
                leaves = [states_Rd[part].detach().requires_grad_(needs_gradient) for states_Rd in hidden]
                states = torch.cat(leaves)  # one product for both paths: [paths x c, d] -> [paths x c, V]
                logits = _exact_logits(head, states) if rows.are_compared else head(states).float()
            paths = logits.detach().chunk(hidden_count)  # views: what is written to them is written to `logits`
            sums += _differentiate(paths, rows, rows.targets[part], needs_gradient)
            if needs_gradient:  # `logits` now holds its own gradient
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


def _exact_logits(head: nn.Module, states: Tensor) -> Tensor:
    """Logits with float32 results, whatever the head's type: rounded to bfloat16 they differ by more than the two paths do.

    It costs a float32 copy of the head, and is for the few rows that are distilled.
    """
    rounds = torch.is_autocast_enabled(states.device.type) or cast(Tensor, head.weight).dtype != torch.float32
    if type(head) is not nn.Linear or not rounds:
        return cast(Tensor, head(states)).float()
    with torch.autocast(states.device.type, enabled=False):
        return F.linear(states.float(), head.weight.float(), None if head.bias is None else head.bias.float())


def _add(gradients: list[Tensor], found: Sequence[Tensor], part: slice, hidden_count: int) -> None:
    """A chunk's rows are its own; a parameter of the head gets the sum over all chunks."""
    for index, gradient in enumerate(found):
        if index < hidden_count:
            gradients[index][part] = gradient
        else:
            gradients[index] += gradient


def _differentiate(logits: Sequence[Tensor], rows: Rows, targets_c: Tensor, needs_gradient: bool) -> Tensor:
    """[4]: a chunk's losses. Writes the gradient of the weighted sum over the logits, which nobody needs afterwards.

    On a CPU it goes block by block, so that the temporaries of a loss stay in the cache.
    """
    sums = torch.zeros(4, dtype=torch.float32, device=targets_c.device)
    block = max(1, _CACHED_ELEMENTS // logits[0].shape[1]) if targets_c.device.type == "cpu" else len(targets_c)
    for start in range(0, len(targets_c), block):
        part = slice(start, start + block)
        sums += _weighted_losses([path_cV[part] for path_cV in logits], rows, targets_c[part], needs_gradient)
    return sums


def _weighted_losses(logits: Sequence[Tensor], rows: Rows, targets_c: Tensor, needs_gradient: bool) -> Tensor:
    """[4]: the weighted sum, CE_off, CE_on and tau^2 KL of logits [c, V], the plain path's and the echo path's if it ran.

    Writes the weighted sum's gradient over the logits, by its formulas: autograd takes twice the passes over memory.
    """
    weights, both = rows.weights, len(logits) == 2
    distillation = logits[0].new_zeros(())
    slopes: Slopes = ()
    if both and weights.distillation:  # before the cross-entropies, which overwrite the logits
        distillation, slopes = _distillation(logits[0], logits[1], weights)
    plain = _cross_entropy(logits[0], targets_c, weights.plain + weights.echo * rows.echo_is_plain, needs_gradient)
    echo = plain if rows.echo_is_plain else plain.new_zeros(())
    if both:
        echo = _cross_entropy(logits[1], targets_c, weights.echo, needs_gradient)
    if needs_gradient:
        for path_cV, slope_cV in slopes:
            path_cV.add_(slope_cV, alpha=weights.distillation)
    total = weights.plain * plain + weights.echo * echo + weights.distillation * distillation
    return torch.stack([total, plain, echo, distillation])


def _cross_entropy(logits_cV: Tensor, targets_c: Tensor, weight: float, needs_gradient: bool) -> Tensor:
    """The cross-entropy summed over rows; the logits become `weight` (softmax - one-hot), its gradient."""
    if not weight:
        logits_cV.zero_()
        return logits_cV.new_zeros(())
    log_p_cV = F.log_softmax(logits_cV, dim=-1)
    if needs_gradient:
        torch.exp(log_p_cV, out=logits_cV)
        logits_cV.scatter_add_(1, targets_c[:, None], -torch.ones_like(logits_cV[:, :1]))
        logits_cV.mul_(weight)
    return F.nll_loss(log_p_cV, targets_c, reduction="sum")


def _distillation(plain_cV: Tensor, echo_cV: Tensor, weights: LossWeights) -> tuple[Tensor, Slopes]:
    """tau^2 KL in the direction asked for, and its gradient over the logits that have one."""
    if weights.teacher == "both":
        value, plain_slope_cV, echo_slope_cV = symmetric_divergence(plain_cV, echo_cV, weights.temperature)
        return value, ((plain_cV, plain_slope_cV), (echo_cV, echo_slope_cV))
    teacher_cV, student_cV = (echo_cV, plain_cV) if weights.teacher == "echo" else (plain_cV, echo_cV)
    value, slope_cV = divergence(teacher_cV, student_cV, weights.temperature)
    return value, ((student_cV, slope_cV),)


def symmetric_divergence(one_cV: Tensor, other_cV: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """tau^2 (KL(p || q) + KL(q || p)) / 2, summed over rows of logits, and its gradients over both.

    With p and q the softmaxes at temperature tau: d tau^2 KL(p || q) / d one = tau p (log p - log q - KL) and
    d tau^2 KL(q || p) / d one = tau (p - q), KL each row's own.
    """
    log_p_cV, log_q_cV = (F.log_softmax(logits_cV / temperature, dim=-1) for logits_cV in (one_cV, other_cV))
    p_cV, q_cV, gap_cV = log_p_cV.exp(), log_q_cV.exp(), log_p_cV - log_q_cV
    forward_c1, backward_c1 = (p_cV * gap_cV).sum(-1, keepdim=True), -(q_cV * gap_cV).sum(-1, keepdim=True)
    value = (forward_c1 + backward_c1).sum() * (temperature**2 / 2)
    one_slope_cV = (p_cV * (gap_cV - forward_c1) + p_cV - q_cV) * (temperature / 2)
    other_slope_cV = (q_cV * (-gap_cV - backward_c1) + q_cV - p_cV) * (temperature / 2)
    return value, one_slope_cV, other_slope_cV


def divergence(teacher_cV: Tensor, student_cV: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """tau^2 KL(teacher || student), summed over rows of logits, and its gradient over the student's.

    With t and s the two softmaxes at temperature tau: d tau^2 KL / d student = tau (s - t).
    """
    teacher_p_cV = F.log_softmax(teacher_cV / temperature, dim=-1)  # a logarithm until `exp_`, as the student's
    student_p_cV = F.log_softmax(student_cV / temperature, dim=-1)
    gap_cV = teacher_p_cV - student_p_cV
    teacher_p_cV.exp_()
    value = gap_cV.mul_(teacher_p_cV).sum() * temperature**2
    slope_cV = student_p_cV.exp_().sub_(teacher_p_cV).mul_(temperature)
    return value, slope_cV
