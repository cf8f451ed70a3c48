"""The rows of a suffix, packed and unpacked, and what each of them sees."""

from __future__ import annotations

import torch

from trainer.data.suffix import Suffix

# Two samples of 6 columns: the one runs its columns 2 to 4, the other 1 and 2.
SUPERVISED = torch.tensor([[0, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0]], dtype=torch.bool)
SUFFIX = Suffix.of(SUPERVISED, torch.tensor([2, 1]))


def test_packed_rows_are_those_that_run_in_their_order() -> None:
    values = torch.arange(12).view(2, 6)
    assert SUFFIX.pack(values).tolist() == [[2, 3, 4, 7, 8]]
    assert SUFFIX.pack(values[..., None].expand(2, 6, 3)).shape == (1, 5, 3)
    assert SUFFIX.columns.tolist() == [2, 3, 4, 1, 2]
    assert SUFFIX.places.tolist() == [-1, -1, 0, 1, 2, -1, -1, 3, 4, -1, -1, -1]


def test_unpacked_heads_are_back_in_their_columns() -> None:
    packed = torch.randn(1, 3, 5, 7)
    unpacked = SUFFIX.unpack_heads(packed)
    assert unpacked.shape == (2, 3, 3, 7)
    assert torch.equal(unpacked[0], packed[0, :, :3])
    assert torch.equal(unpacked[1, :, :2], packed[0, :, 3:])
    assert torch.equal(SUFFIX.pack_heads(unpacked), packed.transpose(1, 2))


def test_a_row_sees_its_prompt_before_the_boundary_and_the_suffix_up_to_itself() -> None:
    seen = (~SUFFIX.hidden(columns=6)).int()[:, 0].tolist()
    assert seen[0] == [[1, 1, 0, 0, 0, 0, 1, 0, 0], [1, 1, 0, 0, 0, 0, 1, 1, 0], [1, 1, 0, 0, 0, 0, 1, 1, 1]]
    assert seen[1][1] == [1, 0, 0, 0, 0, 0, 1, 1, 0]


def test_the_boundary_runs_where_nothing_is_supervised() -> None:
    assert Suffix.of(torch.zeros(2, 6, dtype=torch.bool), torch.tensor([2, 1])).sources.tolist() == [2, 7]
