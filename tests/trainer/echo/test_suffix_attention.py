"""A suffix's rows, packed and unpacked, and its attention in both ways; gradients by hand against autograd's."""

from __future__ import annotations

import pytest
import torch

from trainer.echo.suffix_attention import Suffix, _Attend, attend_apart, attend_joined

RUNS = torch.tensor([[True, True, True, False], [True, True, False, False]])


def test_packed_rows_are_those_that_run_in_their_order() -> None:
    suffix = Suffix.of(2, RUNS)
    values = torch.arange(12).view(2, 6)
    assert suffix.pack(values).tolist() == [[2, 3, 4, 8, 9]]
    assert suffix.pack(values[..., None].expand(2, 6, 3)).shape == (1, 5, 3)


def test_unpacked_heads_are_back_in_their_columns_and_zero_elsewhere() -> None:
    suffix, packed = Suffix.of(2, RUNS), torch.randn(1, 3, 5, 7)
    unpacked = suffix.unpack_heads(packed)
    assert unpacked.shape == (2, 3, 4, 7)
    assert torch.equal(unpacked[0, :, :3], packed[0, :, :3])
    assert torch.equal(unpacked[1, :, :2], packed[0, :, 3:])
    assert not unpacked[0, :, 3:].any()
    assert torch.equal(suffix.pack_heads(unpacked), packed.transpose(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_attentions_of_a_suffix_agree(dtype: torch.dtype) -> None:
    """In bfloat16 each is as close as the other to the attention of the same numbers in float64."""
    generator = torch.Generator().manual_seed(0)
    runs = torch.ones(2, 5, dtype=torch.bool)
    runs[1, 3:] = False
    suffix, columns, kinds = Suffix.of(35, runs), torch.arange(40), {"apart": attend_apart, "joined": attend_joined}
    mask = (columns <= columns[35:, None]).expand(2, 1, 5, 40).clone()
    mask[1, :, :, :9] = False
    shapes = [(1, 8, 8, 16), (1, 2, 8, 16), (1, 2, 8, 16), (2, 2, 40, 16), (2, 2, 40, 16)]
    inputs = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    slope = torch.randn(1, 8, 8, 16, generator=generator).to(dtype)

    def run(kind: str, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [value.to(dtype).requires_grad_() for value in inputs]
        output = kinds[kind](tuple(leaves[:3]), tuple(leaves[3:]), suffix, mask, 0.25)  # type: ignore[operator]
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
