"""Which prompts begin alike, so that their beginning is computed once, and which of them go through the model together.

Five shots are 85 % of MMLU's tokens and the same for every question of a subject; the choices of a question share all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from evaluator.backends.context_window import Request
from evaluator.backends.prefix_cache import common_prefix

_WORTH_SHARING = 16
"""Tokens; a shorter common beginning costs more as a pass of its own than it saves."""


@dataclass
class Row:
    """One prompt, with all continuations whose likelihood is asked."""

    prompt: list[int]
    """Its token ids."""
    continuations: list[list[int]] = field(default_factory=list)
    """Theirs."""
    requests: list[int] = field(default_factory=list)
    """Whose they are: places in the list of requests."""

    def width(self, shared: int) -> int:
        """Columns beside a prefix of so many tokens; the last token of a continuation predicts nothing."""
        return len(self.prompt) - shared + sum(len(tokens) - 1 for tokens in self.continuations)


@dataclass(frozen=True)
class Group:
    """Prompts that begin with the same tokens."""

    shared: list[int]
    """Those tokens, without the last one of any prompt; empty where they are not worth a pass."""
    rows: list[Row]
    """The prompts."""

    def batches(self, tokens: int) -> Iterator[list[Row]]:
        """Rows of like width together, at most so many columns in all (or a single row)."""
        batch: list[Row] = []
        for row in sorted(self.rows, key=lambda row: row.width(len(self.shared)), reverse=True):
            if batch and batch[0].width(len(self.shared)) * (len(batch) + 1) > tokens:
                yield batch
                batch = []
            batch.append(row)
        yield batch


def rows_of(requests: Sequence[Request]) -> list[Row]:
    """One row per distinct prompt."""
    rows: dict[tuple[int, ...], Row] = {}
    for place, (_, prompt, continuation) in enumerate(requests):
        row = rows.setdefault(tuple(prompt), Row(prompt))
        row.continuations.append(continuation)
        row.requests.append(place)
    return list(rows.values())


def groups_of(rows: Sequence[Row]) -> list[Group]:
    """Splits rows so that prefixes and remainders together are few tokens; rows that share nothing form one group."""
    ordered = sorted(rows, key=lambda row: row.prompt)
    found = [Group(row.prompt[:-1], [row]) for row in ordered[:1]]
    common = [common_prefix(one.prompt, other.prompt) for one, other in pairwise(ordered)]
    for row, before, after in zip(ordered[1:], common, [*common[1:], 0], strict=True):
        last = found[-1]
        joint = min(len(last.shared), before, len(row.prompt) - 1)
        lost = (len(last.rows) - 1) * (len(last.shared) - joint)
        if lost < joint and after <= 2 * joint:
            found[-1] = Group(last.shared[:joint], [*last.rows, row])
        else:
            found.append(Group(row.prompt[:-1], [row]))
    worth = [group for group in found if len(group.rows) > 1 and len(group.shared) >= _WORTH_SHARING]
    alone = [row for group in found if group not in worth for row in group.rows]
    return [*worth, *([Group([], alone)] if alone else [])]
