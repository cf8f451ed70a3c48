"""What a suite file and its rows may not be: each fault is one message with the file and the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import find_suite
from schemas.errors import UserError
from tests.evaluator.tasks.own.suite_files import ROWS, write_rows, write_suite


def load(suite: Path, base: Path | None = None) -> list[dict[str, Any]]:
    (task,) = load_tasks(find_suite(str(suite), "hf"), None, None, base).tasks.values()
    return list(task.eval_docs)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"promt": "x"}, "tasks.one.own.promt: unknown key"),
        ({"prompt": None}, "give either `prompt` or `messages`"),
        ({"as_trained": True}, "give either `prompt` or `messages`"),
        ({"prompt": None, "as_trained": True}, "no prompt of a training is known here"),
        ({"messages": [{"role": "user", "content": "x"}]}, "give either `prompt` or `messages`"),
        ({"prompt": None, "messages": [{"role": "assistant", "content": "x"}]}, "the last message is the user's"),
        ({"answer": {"kind": "regex", "pattern": "("}}, "'(' is no regular expression"),
        ({"answer": {"kind": "regex", "pattern": "(a)", "group": 2}}, "has 1 groups, group 2 is asked for"),
        ({"answer": {"kind": "number"}, "counts": {"kind": "f1"}}, "leave `counts` out"),
        ({"answer": {"kind": "guess"}}, "'guess' found using 'kind'"),
        ({"counts": {"kind": "bleu"}}, "'bleu' found using 'kind'"),
        ({"floor": 3}, "floor"),
    ],
)
def test_a_suite_file_that_does_not_fit_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    suite = write_suite(tmp_path, one=keys)
    with pytest.raises(UserError) as fault:
        load(suite)
    assert message in str(fault.value)
    assert str(suite) in str(fault.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prompt": "{{ contry }}?"}, "tasks.one.prompt uses 'contry', which this row does not have"),
        ({"prompt": "{{ country.name }}?"}, "has no attribute 'name'"),
        ({"prompt": "{{ country + 1 }}"}, "cannot be made of this row"),
        ({"target": "{{ city }}", "answer": {"kind": "number"}}, "the target 'Paris' is no number"),
        ({"counts": {"kind": "json_equal"}}, "the target 'Paris' is not JSON"),
        ({"group_by": "region"}, "names the field 'region', which this row does not have"),
        ({"counts": {"kind": "any_of", "accepted": "city"}}, "holds no list of accepted answers"),
        ({"answer": {"kind": "choice", "options": ["Rome", "Oslo"]}}, "the target 'Paris' is none of the options"),
        ({"answer": {"kind": "choice", "options": ["Paris", "{{ city }}"]}}, "two options are the same"),
        ({"answer": {"kind": "choice", "options": "city"}}, "holds no list of options"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as fault:
        load(write_suite(tmp_path, one=keys))
    assert message in str(fault.value)
    assert "rows.jsonl, row 1" in str(fault.value)


@pytest.mark.parametrize("gone", [{}, {"city": None}], ids=["absent", "null"])
def test_a_field_that_row_17_lacks_is_named_with_its_row(tmp_path: Path, gone: dict[str, None]) -> None:
    rows = [dict(ROWS[n % 3]) for n in range(20)]
    rows[16] = {key: value for key, value in rows[16].items() if key != "city"} | gone
    write_rows(tmp_path, rows)
    with pytest.raises(UserError) as fault:
        load(write_suite(tmp_path, one=None))
    assert "tasks.one.target uses 'city', which this row does not have" in str(fault.value)
    assert "rows.jsonl, row 17" in str(fault.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prompt": "{{ country "}, "tasks.one.prompt is no Jinja text"),
        ({"answer": {"kind": "regex", "pattern": "$The answer"}}, "can match no text at all"),
        ({"shots": {"data": "rows.jsonl", "count": 4}}, "asks for 4 rows, the file has 3"),
        ({"data": "absent.jsonl"}, "no data file found"),
        ({"data": "rows.txt"}, "the data file is of no known kind"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as fault:
        load(write_suite(tmp_path, one=keys))
    assert message in str(fault.value)


def test_a_chat_prompt_needs_a_chat_template(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "{{ country }}?"}]
    with pytest.raises(UserError, match="this base has no chat template"):
        load(write_suite(tmp_path, one={"prompt": None, "messages": turns}))


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one=None)
    body = suite.read_text()
    suite.write_text(body + body[body.index("  one:") :])
    with pytest.raises(UserError, match="key 'one' is given twice"):
        load(suite)


def test_templates_reach_nothing_but_the_row(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one={"prompt": "{{ country.__class__.__mro__ }}"})
    with pytest.raises(UserError, match="unsafe"):
        load(suite)


def test_options_may_be_a_list_in_each_row(tmp_path: Path) -> None:
    write_rows(tmp_path, [{**ROWS[0], "options": ["Rome", "Paris"]}])
    (doc,) = load(write_suite(tmp_path, one={"answer": {"kind": "choice", "options": "options"}}))
    assert doc["options"] == ["Rome", "Paris"]
