"""python -m studies CONFIG: the plan costs nothing, and faults are said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schemas.errors import UserError
from studies.run.command import main


def test_the_plan_is_printed_and_nothing_is_written(make_study, tmp_path: Path, capsys):
    make_study()
    assert main([str(tmp_path / "study.yaml"), "--plan"]) == 0
    assert "runs       20:" in capsys.readouterr().out
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_jobs_are_at_least_one(jobs, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["study.yaml", "--jobs", jobs])
    assert stop.value.code == 2
    assert "--jobs" in capsys.readouterr().err


def test_a_misspelt_key_is_named(make_study, tmp_path: Path):
    make_study()
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"sedes": [1]}))
    with pytest.raises(UserError, match="sedes: unknown key"):
        main([str(path), "--plan"])
