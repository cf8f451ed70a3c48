"""python -m evaluator: which command a word names, and what it costs to ask for help."""

import subprocess
import sys

import pytest

from evaluator.__main__ import main
from tests.evaluator.conftest import ROOT


@pytest.mark.parametrize("command", ["agree", "gate", "compare", "report"])
def test_every_command_has_a_help_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"python -m evaluator {command}" in capsys.readouterr().out


def test_without_a_command_the_arguments_are_runs_to_score(capsys):
    with pytest.raises(SystemExit):
        main(["runs/mine"])
    assert "--suite" in capsys.readouterr().err


def test_an_error_of_the_user_s_is_one_message_and_exit_2(tmp_path):
    command = [sys.executable, "-m", "evaluator", str(tmp_path), "--suite", "quickstart"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
