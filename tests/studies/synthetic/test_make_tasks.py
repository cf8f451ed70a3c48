"""python -m studies make-tasks: a set of tasks, or validation items for it."""

import json

import pytest

from studies.synthetic.make_tasks import main


@pytest.mark.parametrize(("name", "tasks", "items"), [("quickstart", 7, 240), ("study", 8, 400)])
def test_a_set_has_its_tasks_and_items(tmp_path, name, tasks, items):
    assert main([str(tmp_path), "--set", name]) == 0
    files = sorted(tmp_path.glob("*/test.json"))
    assert len(files) == tasks
    assert {len(json.loads(file.read_text())) for file in files} == {items}


def test_validation_items_are_their_own_and_another_seed_makes_others(tmp_path):
    main([str(tmp_path / "zero"), "--validation"])
    main([str(tmp_path / "one"), "--validation", "--seed", "1"])
    zero, one = ((tmp_path / name / "boolq/test.json").read_text() for name in ("zero", "one"))
    assert len(json.loads(zero)) == 60
    assert zero != one
    assert not list(tmp_path.glob("*/boolq/train.json"))
