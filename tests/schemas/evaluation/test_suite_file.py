"""The suite file: an own task and one of lm-eval's are told apart, and each fault names the field that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.evaluation.suite_file import LmEvalTask, OwnTask, SuiteFile

OWN = {"data": "rows.csv", "prompt": "{{ q }}", "target": "{{ a }}"}


def suite(**tasks: object) -> SuiteFile:
    return SuiteFile.parse({"name": "mine", "tasks": tasks}, where="suite.yaml")


def test_the_kind_of_a_task_is_told_by_its_keys() -> None:
    tasks = suite(own=OWN, theirs={"lm_eval": "theirs.yaml"}).tasks
    assert isinstance(tasks["own"], OwnTask)
    assert isinstance(tasks["theirs"], LmEvalTask)
    assert (tasks["own"].answer.kind, tasks["own"].counts.kind) == ("whole", "exact_match")


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    mine = suite(own=OWN, theirs={"lm_eval": "theirs.yaml"})
    assert SuiteFile.read(mine.write(tmp_path / "suite.json")) == mine


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({**OWN, "tarket": "x"}, "tarket: unknown key"),
        ({"lm_eval": "a.yaml", "prompt": "x"}, "lm_eval.prompt: unknown key"),
        ({**OWN, "max_new_tokens": 0}, "max_new_tokens"),
        ({**OWN, "answer": {"kind": "choice", "options": ["one"]}}, "options"),
        ({**OWN, "shots": {"data": "a.csv", "count": 0}}, "shots.count"),
    ],
)
def test_a_fault_names_its_field_once(task: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as fault:
        suite(one=task)
    assert message in str(fault.value)


def test_a_suite_without_tasks_and_a_task_s_name_with_a_dot_are_refused() -> None:
    with pytest.raises(UserError, match="tasks: Dictionary should have at least 1 item"):
        suite()
    with pytest.raises(UserError, match="should match pattern"):
        suite(**{"a.b": OWN})


@pytest.mark.parametrize("members", [["own", "other"], ["own", "own"], []])
def test_a_group_is_of_tasks_that_are_there_each_once(members: list[str]) -> None:
    with pytest.raises(UserError, match=r"groups\.desk"):
        SuiteFile.parse({"name": "mine", "tasks": {"own": OWN}, "groups": {"desk": members}}, where="suite.yaml")


JUDGED = {**OWN, "counts": {"kind": "judge", "rubric": "Be strict."}}
JUDGE = {"url": "http://127.0.0.1:9/v1", "model": "judge"}


@pytest.mark.parametrize(
    ("judge", "task", "message"),
    [
        (None, JUDGED, "tasks.one counts by a judge, and the suite names none"),
        (JUDGE, OWN, "`judge` is given, and no task counts by it"),
        ({**JUDGE, "url": "api.example.org"}, JUDGED, "judge.url"),
        (JUDGE, {**JUDGED, "counts": {**JUDGED["counts"], "lowest": 5}}, "a scale from 5 to 5 tells no answers apart"),
        (JUDGE, {**JUDGED, "target": None, "counts": {**JUDGED["counts"], "pairs": True}}, "give the `target`"),
        (None, {**OWN, "target": None}, "give the `target`"),
    ],
)
def test_a_judge_and_what_it_judges_fit_together(judge: object, task: object, message: str) -> None:
    with pytest.raises(UserError) as fault:
        SuiteFile.parse({"name": "mine", "tasks": {"one": task}, "judge": judge}, where="suite.yaml")
    assert message in str(fault.value)
