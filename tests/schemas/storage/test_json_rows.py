from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UserError
from schemas.storage.json_rows import read_rows

VALUES = {
    "day": "2023-01-01",
    "hour": "2023-01-01T12:00:00Z",
    "zero": 0,
    "none": None,
    "list": ["a", 1.50],
    "text": "1e5",
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.json", json.dumps([VALUES, VALUES], indent=1)),
        ("rows.json", json.dumps(VALUES) + "\n" + json.dumps(VALUES) + "\n"),  # JSON Lines under another name
        ("rows.jsonl", "\ufeff" + json.dumps(VALUES) + "\r\n\n" + json.dumps(VALUES)),
    ],
)
def test_a_data_file_says_what_it_says(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_rows(tmp_path / name) == [VALUES, VALUES]
    assert read_rows(tmp_path / name, limit=1) == [VALUES]


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path) -> None:
    day = datetime.date(2023, 1, 1)
    table = pyarrow.table({"text": ["2023-01-01", "b"], "day": [day, None]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == [{"text": "2023-01-01", "day": day}, {"text": "b", "day": None}]


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": "x\u2028y\u0085z"}\n')
    assert read_rows(tmp_path / "rows.jsonl") == [{"a": "x\u2028y\u0085z"}]


@pytest.mark.parametrize(
    ("name", "content", "message", "place"),
    [
        ("r.jsonl", b'{"a": 1}\n{"a": }\n', "not JSON", "line 2"),
        ("r.jsonl", b'{"a": 1}\n{"a": 1} {"a": 2}\n', "after the row", "line 2"),
        ("r.jsonl", b'{"a": 1}\n["a"]\n', "no object", "row 2"),
        ("r.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "not UTF-8", "line 2"),
        ("r.jsonl", b'{"a": 1}\n{"a": 1, "a": 2}\n', "'a' twice", "line 2"),
        ("r.jsonl", b'{"a": "\\ud83d"}\n', "surrogate", "line 1"),
        ("r.json", b'[{"a": 1}, {"a": 1, "a": 2}]', "'a' twice", "row 2"),
        ("r.json", b'[{"a": 1}, {"a": tru}]', "not JSON", "row 2"),
        ("r.json", b'[{"a": 1} {"a": 2}]', "comma", "row 1"),
        ("r.json", b'[{"a": 1}', "list's end", "row 1"),
        ("r.json", b'[{"a": 1}] x', "after the list", "r.json"),
        ("r.json", b"[" * 100_000, "nested too deeply", "row 1"),
        ("r.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "cannot be read", "line 1"),
        ("r.gz", b"text", "cannot be read", "r.gz"),
        ("r.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-12], "cannot be read", "r.gz"),
        ("r.gz", gzip.compress(b'{"a": 1}\n{"a"}\n', mtime=0), "not JSON", "line 2"),
        ("r.parquet", b"PAR1", "no Parquet file", "r.parquet"),
    ],
)
def test_one_bad_row_names_its_file_and_its_place(
    tmp_path: Path, name: str, content: bytes, message: str, place: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_rows(tmp_path / name)
    assert name in str(raised.value.where)
    assert place in str(raised.value.where)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=300), name=st.sampled_from(["r.json", "r.jsonl", "r.parquet"]))
def test_whatever_the_bytes_are_they_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        rows: list[dict[str, Any]] = read_rows(path)
    except UserError:
        return
    assert all(isinstance(row, dict) for row in rows)
