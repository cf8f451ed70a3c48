from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from trainer.checkpoint.run_lock import sole_session


def test_a_second_trainer_of_the_same_run_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with sole_session(run), pytest.raises(UserError, match="another process"), sole_session(run):
        pass


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be made"), sole_session(RunDirectory(tmp_path / "file" / "run")):
        pass


def test_the_lock_ends_with_the_session_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    for _ in range(2):
        with sole_session(run):
            pass
    assert list(tmp_path.iterdir()) == []
