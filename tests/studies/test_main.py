"""python -m studies: its commands, and the ones that users know by their old places."""

from __future__ import annotations

import pytest

from schemas.errors import UserError
from studies.__main__ import main
from trainer.__main__ import main as trainer


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_without_a_study_it_tells_of_its_commands(words, capsys):
    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(f"python -m studies {command} " in told for command in ("analyse", "page", "prepare", "make-base"))


@pytest.mark.parametrize("command", ["analyse", "page", "prepare", "make-base", "make-tasks", "make-messages"])
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert not stop.value.code
    assert f"python -m studies {command}" in capsys.readouterr().out


def test_anything_else_is_a_study_to_run():
    with pytest.raises(UserError, match="no study config found"):
        main(["nowhere.yaml"])


def test_what_was_the_trainer_s_is_handed_over(tmp_path):
    assert trainer(["make-tasks", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*/test.json"))) == 7
    with pytest.raises(UserError, match="no study config found"):
        trainer(["study", "nowhere.yaml"])
