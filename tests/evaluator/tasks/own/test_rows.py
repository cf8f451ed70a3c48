"""Rows of every kind of file come out alike, and a broken one is named by line or row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.tasks.own.rows import read_rows
from schemas.errors import UserError

ROWS = [{"q": 'a, "b"\nc', "n": "007"}, {"q": "é", "n": "NA"}]


def written(directory: Path, suffix: str) -> Path:
    path = directory / f"rows{suffix}"
    if suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif suffix == ".csv":
        path.write_text('q,n\n"a, ""b""\nc",007\né,NA\n')
    else:
        text = json.dumps(ROWS) if suffix == ".json" else "\n\n".join(map(json.dumps, ROWS))
        path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    assert read_rows(written(tmp_path, suffix)) == ROWS


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.jsonl", b'{"q": 1}\n{"q": \n', "a.jsonl, line 2"),
        ("a.jsonl", b'{"q": 1}\n[1]\n', "a row is no object"),
        ("a.json", b"[1]", "a.json, row 1"),
        ("a.csv", b"q,n\n1,2\n1,2,3\n", "a.csv, row 2"),
        ("a.csv", b"q,n\n", "holds no row"),
        ("a.csv", b"q,q\n1,2\n", "two columns are called alike"),
        ("a.csv", b"q\n\xff\n", "not UTF-8"),
        ("a.jsonl", b'{"q": 1, "q": 2}\n', "the key 'q' twice"),
        ("a.json", b"[]", "holds no row"),
        ("a.jsonl", b"\n\n", "holds no row"),
        ("a.jsonl", b"\xff\xfe{", "not UTF-8"),
        ("a.parquet", b"PAR1", "no Parquet file"),
        ("a.xlsx", b"", "no known kind"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError) as fault:
        read_rows(tmp_path / name)
    assert message in str(fault.value)
