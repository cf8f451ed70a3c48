"""The studies' inputs are made, not kept: by recipe, whole or not there, and held against their record."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import UserError
from studies.run.command import main as run
from studies.run.study_file import load_study
from studies.synthetic import prepare
from studies.synthetic.base import RECIPES as BASE_RECIPES
from studies.synthetic.prepare import RECIPES, RECORD, made_inputs, main, missing_files, recorded

STUDIES = Path("configs/studies")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which nothing is made yet."""
    configs = Path("configs").resolve()
    (tmp_path / STUDIES).mkdir(parents=True)
    for path in (*configs.glob("quickstart*"), *configs.glob("studies/*.yaml"), configs / "studies/made.sha256"):
        (tmp_path / "configs" / path.relative_to(configs)).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only(monkeypatch: pytest.MonkeyPatch, *folders: str) -> None:
    monkeypatch.setattr(prepare, "RECIPES", {folder: RECIPES[folder] for folder in folders})


def test_tasks_and_validation_items_come_out_byte_for_byte_as_recorded(checkout, monkeypatch, capsys):
    only(monkeypatch, "tasks", "validation")
    assert main([]) == 0
    assert capsys.readouterr().out.count("byte for byte as recorded") == 2
    listed = [line for line in RECORD.read_text().splitlines() if "/tasks/" in line or "/validation/" in line]
    checked = subprocess.run(["sha256sum", "--check", "--quiet"], input="\n".join(listed), text=True, check=False)
    assert checked.returncode == 0


def test_what_is_made_is_not_made_again(checkout, monkeypatch, capsys):
    only(monkeypatch, "validation")
    main([])
    before = {path: path.stat().st_mtime_ns for path in recorded("validation")}
    assert main([]) == 0
    assert {path: path.stat().st_mtime_ns for path in recorded("validation")} == before
    assert "making" not in capsys.readouterr().out.splitlines()[-1]


def test_changed_tasks_are_refused(checkout, monkeypatch):
    only(monkeypatch, "validation")
    main([])
    changed = next(iter(recorded("validation")))
    changed.write_text("[]")
    with pytest.raises(UserError, match="not what the recipe makes"):
        main([])


def test_a_base_that_came_out_otherwise_is_kept_and_said(checkout, monkeypatch, capsys):
    only(monkeypatch, "bases/small")
    short = replace(BASE_RECIPES["study_small"], courses=())
    monkeypatch.setitem(BASE_RECIPES, "study_small", short)
    assert main([]) == 0
    assert "of 6 files differ from the record" in capsys.readouterr().out
    assert missing_files("bases/small") == []


def test_a_study_whose_inputs_are_not_made_says_how_to_make_them(checkout):
    with pytest.raises(UserError, match="not made yet: configs/studies/bases/small, configs/studies/tasks") as refused:
        run([str(STUDIES / "small.yaml"), "--plan"])
    assert "python -m studies prepare configs/studies/small.yaml" in str(refused.value)


def test_each_ready_study_names_the_made_inputs_it_reads():
    made = {
        path.stem: made_inputs(load_study(path)) for path in STUDIES.glob("*.yaml") if not path.stem.startswith("arms")
    }
    assert made["small"] == {"bases/small", "tasks"}
    assert made["deep"] == {"bases/deep", "tasks"}
    assert made["search"] == {"bases/small", "tasks", "validation"}
    assert made["quickstart"] == made["llama_7b_commonsense"] == set()


def test_the_record_has_what_the_registered_plans_hashed():
    plan = (STUDIES / "results/small/study_plan.json").read_text()
    assert all(sha256 in plan for path, sha256 in recorded("tasks").items())
