"""Reads JSON that somebody else may have written: bounded in size, values and depth, strict, and never a crash."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from schemas.errors import UserError
from schemas.storage.plain_file import read_bounded

MOST_BYTES = 32 << 20  # the longest manifest, with probes of 32,768 tokens, takes 22 MB
MOST_VALUES = 1_000_000
MOST_LEVELS = 40
_MOST_DIGITS = 20  # of a 64-bit number, with its sign


def read_json(path: Path, title: str, *, fix: str | None = None, any_number: bool = False) -> Any:
    """The value that a JSON file holds.

    Args:
        path: the file.
        title: what the file should be, for errors.
        fix: what to do where it is missing or damaged.
        any_number: reads NaN, infinity and integers beyond 64 bits too; transformers writes them.

    Raises:
        UserError: it is missing, too large or too deep, or not JSON; or a key stands twice, a number is beyond 64 bits.
    """
    raw = read_bounded(path, title, limit=MOST_BYTES, fix=fix)
    return parse_json(raw, title, where=path, fix=fix, any_number=any_number)


def parse_json(raw: bytes, title: str, *, where: object, fix: str | None = None, any_number: bool = False) -> Any:
    """The value that UTF-8 JSON text holds.

    Raises:
        UserError: see `read_json`.
    """
    try:
        if len(raw) > MOST_BYTES or sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes or {MOST_VALUES:,} values")
        data = json.loads(
            raw.decode(),
            object_pairs_hook=_once,
            parse_int=None if any_number else _within_64_bits,
            parse_float=None if any_number else _finite,
            parse_constant=None if any_number else _refuse,
        )
        _require_bounded(data)
    except RecursionError:
        raise UserError(f"the {title} is not JSON that is read: {_TOO_DEEP}", where=where, fix=fix) from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ones
        raise UserError(f"the {title} is not JSON: {error}", where=where, fix=fix) from None
    return data


_TOO_DEEP = f"it has more than {MOST_LEVELS} levels"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, each of whose keys stands in it once."""
    data = dict(pairs)
    if len(data) < len(pairs):
        [(repeated, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {repeated[:80]!r} is given twice")
    return data


def _within_64_bits(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is no finite number")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _require_bounded(data: Any) -> None:
    """Refuses too many levels, and text that no encoding can write (half of a surrogate pair)."""
    level, todo = 0, [data]
    while todo:
        level += 1
        if level > MOST_LEVELS:
            raise ValueError(_TOO_DEEP)
        below: list[Any] = []
        for value in todo:
            if isinstance(value, str):
                value.encode()  # raises a ValueError that names the place
            elif isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
        todo = below
