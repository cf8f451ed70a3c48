"""The attention of a suffix in both ways, and its gradients by hand against autograd's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.data.suffix import Suffix
from trainer.echo.suffix_attention import _Attend, attend_apart, attend_joined, way_to_attend


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_attentions_of_a_suffix_agree(dtype: torch.dtype) -> None:
    """In bfloat16 each is as close as the other to the attention of the same numbers in float64."""
    generator = torch.Generator().manual_seed(0)
    supervised = torch.zeros(2, 40, dtype=torch.bool)
    supervised[0, 39] = supervised[1, 32] = True
    suffix = Suffix.of(supervised, torch.tensor([35, 30]))
    apart = suffix.hidden(40).repeat(1, 1, 4, 1)
    joined = ~torch.cat([apart[..., :35], apart[..., 40:]], dim=3)
    kinds = {"apart": (attend_apart, apart), "joined": (attend_joined, joined)}
    shapes = [(1, 8, 8, 16), (1, 2, 8, 16), (1, 2, 8, 16), (2, 2, 40, 16), (2, 2, 40, 16)]
    inputs = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    slope = torch.randn(1, 8, 8, 16, generator=generator).to(dtype)

    def run(kind: str, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [value.to(dtype).requires_grad_() for value in inputs]
        attend, mask = kinds[kind]
        output = attend(tuple(leaves[:3]), tuple(leaves[3:]), suffix, mask, 0.25)
        return [output, *torch.autograd.grad(output, leaves, slope.to(dtype))]

    exact = run("joined", torch.float64)
    errors = {
        kind: max(
            float((ours - truth).abs().amax().detach()) for ours, truth in zip(run(kind, dtype), exact, strict=True)
        )
        for kind in kinds
    }
    assert errors["apart"] <= max(1.5 * errors["joined"], 1e-6), errors


def test_the_gradient_by_hand_is_the_formulas_own() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)]
    inputs = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    hidden = torch.zeros(1, 1, 3, 8, dtype=torch.bool)
    hidden[..., 3:5] = hidden[0, 0, 0, 6:] = hidden[0, 0, 1, 7:] = True
    query, key, value, plain_key, plain_value = inputs
    scores = query @ torch.cat([plain_key, key], dim=2).mT * 0.5
    weights = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
    expected = weights @ torch.cat([plain_value, value], dim=2)
    found = _Attend.apply(*inputs, hidden, 0.5)
    slope = torch.randn(expected.shape, generator=generator)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(output, inputs, slope) for output in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][3][:, :, 3:].any()  # what the mask hides gets no gradient


def test_cudnn_attends_to_nothing_that_has_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradients can be NaN then (pytorch#196678)."""
    supervised = torch.ones(1, 4, dtype=torch.bool)
    suffix, own, plain = Suffix.of(supervised, torch.tensor([0])), torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8)
    kernel, allowed = torch.nn.functional.scaled_dot_product_attention, []

    def look(*inputs: Any, **options: Any) -> torch.Tensor:
        allowed.append((options["attn_mask"] is not None, torch.backends.cuda.cudnn_sdp_enabled()))
        return kernel(*inputs, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
    attend, mask = way_to_attend(suffix, 4, 2, 2, dropout=0.0)
    attend((own, own, own), (plain, plain), suffix, mask, 1.0)
    assert allowed == [(True, False)]
