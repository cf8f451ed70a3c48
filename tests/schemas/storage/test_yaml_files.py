"""One YAML dialect: plain data, each key once, numbers that are numbers, text that stays text, and no bombs."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from schemas.evaluation.gate_policy import GatePolicy
from schemas.storage.yaml_files import MOST_BYTES, parse_yaml, read_yaml, to_yaml
from trainer.bench.abba import read_config as read_bench_config
from trainer.config_file import load_config

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["C"])),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text("abz0", min_size=1), parts, max_size=4),
    max_leaves=12,
)


def parsed(text: str) -> dict[str, object]:
    return parse_yaml(text.encode(), "note", where="note.yaml")


def fault_of(text: str) -> str:
    with pytest.raises(UserError) as raised:
        parsed(text)
    return raised.value.what


def bomb(levels: int = 9) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-4", 1e-4), ("1.5e3", 1500.0), ("-2E2", -200.0), (".5", 0.5), ("1_000", 1000), ("0x1f", 31), ("-7", -7),
        ("yes", True), ("false", False), ("~", None), ("", None),
        ("2024-01-31", "2024-01-31"), ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"), ("12:30", "12:30"),
        ("010", "010"), ("1.2.3", "1.2.3"), ("1e", "1e"), ("e5", "e5"), ("=", "="), ("'1'", "1"), ("!!str 1", "1"),
    ],
)  # fmt: skip
def test_a_value_is_what_it_looks_like(written: str, meant: object) -> None:
    found = parsed(f"key: {written}")["key"]
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [("a: 1\nb: 2\na: 3", "a", 3), ("a:\n  x: 1\n  'x': 2", "x", 3), ("a: {1: x, '1': y}", "1", 1)],
)
def test_a_key_given_twice_is_named_with_its_line(text: str, key: str, line: int) -> None:
    assert f"line {line}: key '{key}' is given twice" in fault_of(text)


def test_anchors_save_typing_and_the_mappings_own_keys_win() -> None:
    data = parsed("usual: &usual {rank: 8, alpha: 16}\nadapter:\n  <<: *usual\n  rank: 4\nagain: *usual")
    assert data["adapter"] == {"rank": 4, "alpha": 16}
    assert data["again"] == {"rank": 8, "alpha": 16}


@pytest.mark.parametrize(
    "text",
    [
        bomb(),
        bomb().replace("[", "{<<: [").replace("]", "]}").replace("x, x, x, x, x, x, x, x, x, x", "{x: 1}"),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: " + "[" * (MOST_BYTES - 9),
        "a: " + "{a: " * 9_000,
        "a: [" + "1," * 30_000 + "]",
        "\n".join(f"k{i}: {i}" for i in range(6_000)),
        "a0: &a0 [1]\n" + "\n".join(f"a{i}: &a{i} {'[' * 30}*a{i - 1}{']' * 30}" for i in range(1, 40)),
        "a: " + "9" * 5_000,
        "a: " + "1:" * 30_000 + "1\na: 1",
    ],
)  # fmt: skip
def test_a_bomb_is_refused_in_a_second_and_in_little_memory(text: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    fault = fault_of(text)
    assert time.process_time() - began < 5  # traced; untraced it is a fifth
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    assert len(fault) < 400


def test_a_file_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(UserError, match="larger than"):
        read_yaml(path, "note")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [x]", "a: !!binary aGk=", "a: !!timestamp 2020-01-01", "a: !!set {a, b}",
        "a: !!int x", "a: !!bool x", "a: !!map [1]", "a: !!str [1]", "? [a]\n: 1", "a: <<", "<<: 1", "a: *b",
        "a: 1\n---\nb: 1", "[1, 2", "- a", "text", "", "a: \x00", "a: \x1b[31m",
    ],
)  # fmt: skip
def test_what_is_no_mapping_of_plain_data_is_refused(text: str) -> None:
    assert "the note is not" in fault_of(text)


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    for raw in (b"a: \xff", "a: 1".encode("utf-16")):
        with pytest.raises(UserError, match="is not YAML"):
            parse_yaml(raw, "note", where="note.yaml")


def test_only_the_tags_that_the_caller_names_are_read_as_text() -> None:
    assert parse_yaml(b"a: !function f.g", "task", where="", text_tags=("!function",)) == {"a": "f.g"}
    assert "!function" in fault_of("a: !function f.g")


@given(st.dictionaries(st.text("abz0", min_size=1), PLAIN, max_size=4))
def test_what_is_written_reads_back_equal(data: dict[str, object]) -> None:
    assert parsed(to_yaml(data)) == data


@given(st.text() | st.text("ab:-[]{}&*!?|>%@'\"# \n0.<", max_size=60))
def test_any_text_is_a_mapping_or_a_users_error(text: str) -> None:
    with contextlib.suppress(UserError):
        assert isinstance(parsed(text), dict)


@pytest.mark.parametrize("read", [load_config, read_bench_config, GatePolicy.from_yaml])
@pytest.mark.parametrize(("text", "fault"), [("name: a\nname: b\n", "key 'name' is given twice"), (bomb(), "aliases")])
def test_every_kind_of_file_is_read_so(tmp_path: Path, read: object, text: str, fault: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=fault):
        read(path)  # type: ignore[operator]
