"""The steps between schema versions, on plain data of any form."""

from __future__ import annotations

from schemas.upgrade import change_at, rename


def test_a_change_reaches_every_place_that_the_path_names() -> None:
    data = {"suites": {"a": {"checks": [{"n": 1}, {"n": 2}]}, "b": {"checks": [{"n": 3}]}}}
    changed = change_at(data, "suites.*.checks.*.n", lambda n: n * 10)
    assert changed == {"suites": {"a": {"checks": [{"n": 10}, {"n": 20}]}, "b": {"checks": [{"n": 30}]}}}
    assert data["suites"]["a"]["checks"] == [{"n": 1}, {"n": 2}]


def test_data_of_another_form_are_left_for_the_schema_to_refuse() -> None:
    for data in (None, 3, "text", [], {"suites": None}, {"suites": [1]}, {"suites": {"a": "b"}}):
        assert change_at(data, "suites.*.checks.*", rename({"old": "new"})) == data


def test_a_renamed_key_keeps_its_place_and_never_overwrites() -> None:
    assert list(rename({"old": "new"})({"first": 1, "old": 2, "last": 3})) == ["first", "new", "last"]
    assert rename({"old": "new"})({"old": 1, "new": 2}) == {"old": 1, "new": 2}
    assert rename({"old": "new"})(["old"]) == ["old"]
