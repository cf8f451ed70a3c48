"""Suffix: the rows that an echo pass runs, [1, P, ..] packed without padding, and where they stand in the batch.

In the echo pass's attention they are laid out once more as B x S, each sample from its own boundary on.

Legend: B samples, T columns of a whole pass, S columns of the longest suffix, P rows that run, H heads, N key-value heads,
G = H / N query heads of a key-value head, h head size.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Suffix:
    """Index tensors, made on the CPU with the batch."""

    shape: tuple[int, int]
    """(B, S)."""
    prefix: int
    """Columns of the longest prompt before its boundary."""
    rows: Tensor
    """[P] int64: the rows in B x S."""
    slots: Tensor
    """[B x S] int64: for each row of B x S its place among the P; 0 where nothing runs."""
    sources: Tensor
    """[P] int64: the same rows in the B x T of a whole pass."""
    columns: Tensor
    """[P] int64: the column of each, which is its position."""
    places: Tensor
    """[B x T] int64: for each row of a whole pass its place among the P; -1 where it runs but once."""
    boundaries: Tensor
    """[B] int64: each sample's first column."""

    @classmethod
    def of(cls, supervised_BT: Tensor, boundaries_B: Tensor) -> Suffix:
        """From each sample's boundary to its last supervised row.

        The boundary always runs, so that a batch without supervised tokens still has rows.
        """
        samples, columns = supervised_BT.shape
        column_T = torch.arange(columns, device=supervised_BT.device)
        last_B = torch.where(supervised_BT, column_T, -1).amax(dim=1).maximum(boundaries_B)
        runs_BT = (column_T >= boundaries_B[:, None]) & (column_T <= last_B[:, None])
        sources = runs_BT.flatten().nonzero().squeeze(1)
        sample, column = sources // columns, sources % columns
        longest = int((last_B - boundaries_B).max()) + 1
        places = torch.full((samples * columns,), -1, device=sources.device)
        places[sources] = torch.arange(len(sources), device=sources.device)
        rows = sample * longest + column - boundaries_B[sample]
        slots = torch.zeros(samples * longest, dtype=torch.int64, device=rows.device)
        slots[rows] = torch.arange(len(rows), device=rows.device)
        return cls((samples, longest), int(boundaries_B.max()), rows, slots, sources, column, places, boundaries_B)

    def to(self, device: torch.device) -> Suffix:
        """The same on another device."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)[2:]}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})

    def pack(self, values_BT: Tensor) -> Tensor:
        """[1, P, ..] of values of all columns, [B, T, ..]."""
        return values_BT.flatten(0, 1).index_select(0, self.sources)[None]

    def unpack_heads(self, packed_1HPh: Tensor) -> Tensor:
        """[B, H, S, h] of packed rows; where nothing ran stands another row, which no row that ran attends to."""
        rows_PHh = packed_1HPh[0].transpose(0, 1)
        return rows_PHh.index_select(0, self.slots).view(*self.shape, *rows_PHh.shape[1:]).transpose(1, 2)

    def pack_heads(self, attended_BNGSh: Tensor) -> Tensor:
        """[1, P, H, h]: the rows that ran."""
        samples, columns = self.shape
        attended_BHSh = attended_BNGSh.reshape(samples, -1, columns, attended_BNGSh.shape[-1])
        rows_BSHh = attended_BHSh.transpose(1, 2).flatten(0, 1)  # [B S, H, h]
        return rows_BSHh.index_select(0, self.rows)[None]

    def hidden(self, columns: int) -> Tensor:
        """[B, 1, S, T + S] bool: True at the keys that a row does not see, of the plain pass's columns and its own.

        A sample's rows see its prompt before the boundary, and of the suffix what is not after them.
        """
        device, (samples, own) = self.boundaries.device, self.shape
        plain_BT = torch.arange(columns, device=device) >= self.boundaries[:, None]
        later_SS = torch.ones(own, own, dtype=torch.bool, device=device).triu(1)
        return torch.cat([plain_BT[:, None].expand(-1, own, -1), later_SS.expand(samples, -1, -1)], dim=2)[:, None]
