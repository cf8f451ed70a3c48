"""Rows of data files as they are written: JSON, JSON Lines and Parquet, no value turned into another type on the way."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from schemas.errors import UserError

SUFFIXES = (".json", ".jsonl", ".parquet")
_NO_SPACE = re.compile(r"[^ \t\n\r]")
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def read_rows(path: Path, suffix: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of one file, in order.

    Args:
        path: the file.
        suffix: one of SUFFIXES or .gz (JSON Lines, compressed), where the file's own name does not end in one.
        limit: only the first rows; None takes all.

    Raises:
        UserError: the file or one of its rows cannot be read; says which.
    """
    suffix = suffix or path.suffix.lower()
    read = {".json": _json_rows, ".jsonl": _json_lines, ".gz": _json_lines, ".parquet": _parquet_rows}[suffix]
    try:
        return list(itertools.islice(_objects(path, read(path)), limit))
    except (OSError, EOFError, zlib.error) as error:  # the last two of a compressed file that is cut short or damaged
        raise UserError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}", where=path) from None


def _objects(path: Path, rows: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f"a row is no object with keys, but {row!r:.80}", where=f"{path}, row {number}")
        yield row


def _json_rows(path: Path) -> Iterator[Any]:
    """The elements of a list; or objects one after another, since people also name JSON Lines so."""
    text = _decoded(path.read_bytes(), path)
    at = _after_space(text, 0)
    listed = text[at : at + 1] == "["
    at = _after_space(text, at + 1) if listed else at
    for number in itertools.count(1):
        if text[at : at + 1] == "]" and listed and number == 1:
            at = _after_space(text, at + 1)
            break
        if at == len(text) and not listed:
            break
        value, at = _parsed(text, at, f"{path}, row {number}")
        yield value
        at = _after_space(text, at)
        if listed and text[at : at + 1] == "]":
            at = _after_space(text, at + 1)
            break
        if listed:
            if text[at : at + 1] != ",":
                raise UserError("a comma or the list's end is missing", where=f"{path}, after row {number}")
            at = _after_space(text, at + 1)
    if at != len(text):
        raise UserError("something stands after the list", where=path)


def _after_space(text: str, at: int) -> int:
    found = _NO_SPACE.search(text, at)
    return found.start() if found else len(text)


def _json_lines(path: Path) -> Iterator[Any]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            text = _decoded(line, where)
            at = _after_space(text, 0)
            if at < len(text):
                value, end = _parsed(text, at, where)
                if _after_space(text, end) < len(text):
                    raise UserError("something stands after the row", where=where)
                yield value


def _parquet_rows(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise UserError(f"the file is no Parquet file: {str(error).splitlines()[0]}", where=path) from None


def _decoded(data: bytes, where: object) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the text is not UTF-8: byte {error.start + 1} is 0x{data[error.start]:02x}",
            where=where,
            fix="convert the file to UTF-8",
        ) from None


def _parsed(text: str, at: int, where: object) -> tuple[Any, int]:
    """The value that begins at a place of the text, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        place = f"{where} (line {error.lineno}, column {error.colno} of the text)"
        raise UserError(f"this is not JSON: {error.msg}", where=place) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"the JSON cannot be read: {reason}", where=where) from None
    if _HALF_A_PAIR.search(text, at, end):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise UserError("the text holds half of a surrogate pair, which is no character", where=where) from None
    return value, end


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {repeated!r} twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeated_keys)
