"""JSON from strangers is read strictly and within bounds, or refused at once."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from schemas.storage.json_files import MOST_BYTES, MOST_LEVELS, MOST_VALUES, parse_json, read_json


def fault_of(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(UserError) as raised:
        parse_json(raw, "note", where="note.json")
    return raised.value.what


def test_plain_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text('{"a": [1, -2.5, true, null, "ü\\n"], "b": 18446744073709551615}')
    assert read_json(path, "note") == {"a": [1, -2.5, True, None, "ü\n"], "b": 2**64 - 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' is given twice"),
        ('{"a": {"x": 1, "x": 1}}', "key 'x' is given twice"),
        ("[NaN]", "NaN is no JSON"), ("[-Infinity]", "-Infinity is no JSON"), ("[1e999]", "no finite number"),
        ("[" + "9" * 5000 + "]", "5,000 digits"), ("[" * 100_000, "levels"), ('{"a":' * 100_000, "levels"),
        ("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), "levels"),
        ('["\\ud800"]', "surrogates not allowed"), ('{"\\ud800": 1}', "surrogates not allowed"),
        ("", "is not JSON"), ("{", "is not JSON"), ("[1] [2]", "is not JSON"), ("[1,]", "is not JSON"),
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(text: str, said: str) -> None:
    assert said in fault_of(text)


@pytest.mark.parametrize("raw", [b"\xff", "{}".encode("utf-16"), b"\xef\xbb\xbf{}", b"\x00"])
def test_only_utf_8_is_read(raw: bytes) -> None:
    assert "is not JSON" in fault_of(raw)


@pytest.mark.parametrize(
    "raw", [b" " * (MOST_BYTES + 1), b"[" + b"0," * MOST_VALUES + b"0]", b"[" + b"[]," * MOST_VALUES + b"0]"]
)
def test_too_much_is_refused_before_it_is_parsed(raw: bytes) -> None:
    tracemalloc.start()
    began = time.process_time()
    assert "it has more than" in fault_of(raw)
    assert time.process_time() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_what_transformers_writes_is_read_where_asked_for() -> None:
    text = b'{"model_max_length": 1000000000000000019884624838656, "limit": [0.0, Infinity]}'
    data = parse_json(text, "config", where="", any_number=True)
    assert data == {"model_max_length": 1000000000000000019884624838656, "limit": [0.0, float("inf")]}


@given(st.binary(max_size=60) | st.text('{}[]":,0123456789.eE-+truefalsn \\ud8', max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_a_users_error(raw: bytes) -> None:
    try:
        parse_json(raw, "note", where="note.json")
    except UserError as error:
        assert "note" in error.what  # noqa: PT017  (most inputs raise nothing)
