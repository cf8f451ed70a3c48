"""The rows of a suite's data file: JSONL, a JSON list or Parquet as every stage reads them, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.storage import json_rows
from schemas.storage.plain_file import read_bounded

Row = dict[str, Any]
SUFFIXES = (*json_rows.SUFFIXES, ".csv")
MOST_BYTES = 1 << 30


def read_rows(path: Path) -> list[Row]:
    """The rows in order, each a mapping of field to value; a field that is null is left out, as if it were not there.

    Raises:
        UserError: the file is missing, empty, of no known kind, or holds a row that does not fit; the row is named.
    """
    if path.suffix not in SUFFIXES:
        raise UserError("the data file is of no known kind", where=path, fix=f"give one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError("no data file found", where=path, fix="`data` is looked for beside the suite file")
    rows = list(_csv(path)) if path.suffix == ".csv" else json_rows.read_rows(path)
    if not rows:
        raise UserError("the data file holds no row", where=path, fix="an empty task has no score; take it out")
    return [{field: value for field, value in row.items() if value is not None} for row in rows]


def row_place(path: Path, number: int) -> str:
    """Where a row is, counted from 1 as people count."""
    return f"{path}, row {number}"


def _csv(path: Path) -> Iterator[Row]:
    """Values stay text: `007` is no number, and `NA` no absence. A cell that a short row lacks is one."""
    raw = read_bounded(path, "data file", limit=MOST_BYTES)
    try:
        reader = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise UserError(f"the text is not UTF-8: {error.reason} at byte {error.start + 1}", where=path) from None
    names = reader.fieldnames or []
    if len(set(names)) != len(names):
        raise UserError(f"two columns are called alike: {', '.join(names)}", where=path)
    try:
        for number, row in enumerate(reader, start=1):
            if None in row:
                raise UserError("the row has more cells than the header has names", where=row_place(path, number))
            yield row
    except csv.Error as error:
        raise UserError(f"the data file is not CSV: {error}", where=f"{path}, line {reader.line_num}") from None
