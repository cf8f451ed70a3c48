"""What a worker is sent: plain data that trains or scores when it is called."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.studies.study_config import StudyEvaluation
from studies.run.work import Scoring, Training


def test_work_is_sent_to_its_process_as_it_is(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType
) -> None:
    work = Training(training_runs.make_config(tmp_path, tiny_base, records))
    sent = pickle.loads(pickle.dumps(work))
    assert sent == work
    assert sent.phase == "training"


def test_training_leaves_the_run_s_adapter(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType
) -> None:
    config = training_runs.make_config(tmp_path, tiny_base, records, training__max_steps=2)
    Training(config)()
    assert RunDirectory(Path(config.runs) / config.name).manifest.is_file()


def test_a_subject_that_is_not_there_is_an_error_of_the_user_s(tmp_path: Path) -> None:
    work = Scoring(str(tmp_path / "nothing"), StudyEvaluation(suite="quickstart"), tmp_path / "answers")
    assert work.phase == "scoring"
    with pytest.raises(UserError, match="no adapter found"):
        work()
