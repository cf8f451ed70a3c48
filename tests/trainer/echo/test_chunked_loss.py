"""Head and losses on supervised rows: the full computation's loss and gradients without its logits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.echo.chunked_loss import LossWeights, Rows, divergence, row_losses

WEIGHTS = LossWeights(plain=1.0, echo=0.5, distillation=0.8, temperature=2.0)


def rows_and_head(count: int = 7, *, trainable_head: bool = False) -> tuple[Rows, nn.Linear]:
    torch.manual_seed(0)
    head = nn.Linear(8, 50, bias=False).requires_grad_(trainable_head)
    plain, echo = (torch.randn(count, 8, requires_grad=True) for _ in range(2))
    return Rows(torch.randint(0, 50, (count,)), plain, echo, WEIGHTS), head


def full_loss(rows: Rows, head: nn.Linear) -> Tensor:
    assert rows.echo is not None
    off, on = head(rows.plain), head(rows.echo)
    cross_entropies = F.cross_entropy(off, rows.targets, reduction="sum") + 0.5 * F.cross_entropy(
        on, rows.targets, reduction="sum"
    )
    teacher, student = (on / 2).softmax(-1).detach(), (off / 2).softmax(-1)
    return cross_entropies + 0.8 * 4 * (teacher * (teacher.log() - student.log())).sum()


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
@pytest.mark.parametrize("block_rows", [2, 100])
@pytest.mark.parametrize("trainable_head", [False, True])
def test_chunks_have_the_loss_and_gradients_of_full_logits(
    chunk_rows: int, block_rows: int, trainable_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.echo.chunked_loss._CACHED_ELEMENTS", block_rows * 50)
    rows, head = rows_and_head(trainable_head=trainable_head)
    inputs: list[Any] = [rows.plain, rows.echo, *(p for p in head.parameters() if p.requires_grad)]
    losses = row_losses(head, rows, chunk_elements=chunk_rows * 50)
    expected = full_loss(rows, head)
    torch.testing.assert_close(losses.total, expected)
    found = torch.autograd.grad(3 * losses.total, inputs)
    torch.testing.assert_close(found, torch.autograd.grad(3 * expected, inputs))


def test_both_ways_has_the_loss_and_gradients_of_full_logits() -> None:
    rows, head = rows_and_head()
    weights = LossWeights(plain=1.0, echo=0.0, distillation=0.8, temperature=2.0, teacher="both")
    losses = row_losses(head, replace(rows, weights=weights), chunk_elements=150)
    off, on = head(rows.plain), head(rows.echo)
    p, q = ((logits / 2).softmax(-1) for logits in (off, on))
    both = ((p - q) * (p.log() - q.log())).sum() / 2
    expected = F.cross_entropy(off, rows.targets, reduction="sum") + 0.8 * 4 * both
    torch.testing.assert_close(losses.total, expected)
    found = torch.autograd.grad(losses.total, [rows.plain, rows.echo])
    torch.testing.assert_close(found, torch.autograd.grad(expected, [rows.plain, rows.echo]))


def test_no_rows_cost_nothing_and_stay_in_the_graph() -> None:
    rows, head = rows_and_head(0)
    losses = row_losses(head, rows)
    losses.total.backward()
    assert not losses.total.detach().any()
    assert rows.plain.grad is not None
    assert rows.plain.grad.shape == (0, 8)


def test_never_more_logits_than_a_chunk() -> None:
    rows, head = rows_and_head(100)
    widest: list[int] = []
    head.register_forward_hook(lambda module, inputs, output: widest.append(len(output)))
    row_losses(head, rows, chunk_elements=16 * 50).total.backward()
    assert max(widest) == 2 * 16  # both paths
    assert sum(widest) == 200  # each row of each path once: the backward pass needs no second product


def test_without_gradient_the_sums_are_the_same() -> None:
    rows, head = rows_and_head()
    with torch.no_grad():
        silent = row_losses(head, rows)
    loud = row_losses(head, rows)
    assert not silent.total.requires_grad
    for part in ("total", "plain", "echo", "distillation"):
        torch.testing.assert_close(getattr(silent, part), getattr(loud, part))


def test_equal_paths_share_one_cross_entropy() -> None:
    rows, head = rows_and_head()
    shared = row_losses(head, Rows(rows.targets, rows.plain, None, WEIGHTS, echo_is_plain=True))
    torch.testing.assert_close(shared.total, 1.5 * shared.plain)
    assert torch.equal(shared.plain, shared.echo)


def test_divergence_is_torchs_own_kl_times_the_squared_temperature() -> None:
    teacher, student = torch.randn(5, 9), torch.randn(5, 9, requires_grad=True)
    distributions = [torch.distributions.Categorical(logits=logits / 3) for logits in (teacher, student)]
    expected = 9 * torch.distributions.kl_divergence(*distributions).sum()
    (slope,) = torch.autograd.grad(expected, student)
    torch.testing.assert_close(divergence(teacher, student.detach(), 3.0), (expected.detach(), slope))


@pytest.mark.parametrize("autocast", [False, True])
def test_a_small_divergence_does_not_drown_in_bfloat16(autocast: bool) -> None:
    """Two paths a hair apart: logits rounded to bfloat16 would put their divergence a quarter too high here."""
    torch.manual_seed(0)
    kind = torch.float32 if autocast else torch.bfloat16
    head = nn.Linear(64, 500, bias=False).to(kind).requires_grad_(False)
    plain = (4 * torch.randn(20, 64)).to(kind)
    echo = (plain.float() * (1 + 0.01 * torch.randn(20, 64))).to(kind)
    weights = LossWeights(distillation=1.0)
    rows = Rows(torch.randint(0, 500, (20,)), plain, echo, weights)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = row_losses(head, rows).distillation
    student, teacher = (states.double() @ head.weight.double().T for states in (plain, echo))
    exact = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="sum")
    assert float(found) == pytest.approx(float(exact), rel=1e-3)
