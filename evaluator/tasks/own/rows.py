"""Reads the rows of a data file: JSONL, a JSON list, CSV or Parquet, by its name's ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.storage.plain_file import read_bounded

Row = dict[str, Any]
MOST_BYTES = 1 << 30


def read_rows(path: Path) -> list[Row]:
    """The rows in order, each a mapping of field to value; a field that is null is left out, as if it were not there.

    Raises:
        UserError: the file is missing, empty, of no known kind, or holds a row that does not fit; the row is named.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise UserError("the data file is of no known kind", where=path, fix=f"give one of {', '.join(_READERS)}")
    raw = read_bounded(path, "data file", limit=MOST_BYTES, fix="`data` is looked for beside the suite file")
    rows = list(reader(raw, path))
    if not rows:
        raise UserError("the data file holds no row", where=path, fix="an empty task has no score; take it out")
    return [{field: value for field, value in row.items() if value is not None} for row in rows]


def row_place(path: Path, number: int) -> str:
    """Where a row is, counted from 1 as people count."""
    return f"{path}, row {number}"


def _jsonl(raw: bytes, path: Path) -> Iterator[Row]:
    for number, line in enumerate(_text(raw, path).splitlines(), start=1):
        if line.strip():
            yield _object(_json(line, f"{path}, line {number}"), f"{path}, line {number}")


def _json_list(raw: bytes, path: Path) -> Iterator[Row]:
    data = _json(_text(raw, path), str(path))
    if not isinstance(data, list):
        raise UserError("the data file holds no list of rows", where=path, fix="write [{...}, {...}], or JSON lines")
    yield from (_object(row, row_place(path, number)) for number, row in enumerate(data, start=1))


def _csv(raw: bytes, path: Path) -> Iterator[Row]:
    """Values stay text: `007` is no number, and `NA` no absence. An empty cell of a short row is."""
    reader = csv.DictReader(io.StringIO(_text(raw, path), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, start=1):
            if None in row:
                raise UserError("the row has more cells than the header has names", where=row_place(path, number))
            yield row
    except csv.Error as error:
        raise UserError(f"the data file is not CSV: {error}", where=f"{path}, line {reader.line_num}") from None


def _parquet(raw: bytes, path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows: list[Row] = parquet.read_table(io.BytesIO(raw)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"the data file is not Parquet: {str(error).splitlines()[0]}", where=path) from None
    yield from rows


_READERS: dict[str, Callable[[bytes, Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json_list,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"the data file is not UTF-8: {error.reason} at byte {error.start}", where=path) from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"not JSON: {error}", where=where) from None


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise UserError("a row is not an object", where=where, fix="each row is {field: value, ...}")
    return value
