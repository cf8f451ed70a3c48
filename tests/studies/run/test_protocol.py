"""The protocol: what is hashed, what must be here, and that all arms see the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UserError
from schemas.studies.study_plan import StudyProtocol
from studies.run.protocol import draft_protocol, require_inputs
from studies.run.study_file import run_config
from tests.evaluator.tasks.own.suite_files import write_suite


def test_all_arms_of_a_seed_see_the_same_data_in_the_same_order(protocol: StudyProtocol) -> None:
    study = protocol.study
    configs = [run_config(study, one, seed=1, rate=0.01) for one in protocol.arms]
    assert {config.seed for config in configs} == {1}
    assert len({config.data for config in configs}) == 1
    assert len({config.training.batch_size for config in configs}) == 1


def test_items_behind_a_linked_folder_are_hashed_too(make_study: Any, tmp_path: Path) -> None:
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir()
    (elsewhere / "test.json").write_text("[]")
    data.mkdir()
    (data / "boolq").symlink_to(elsewhere)
    draft = draft_protocol(make_study(evaluation={"suite": "quickstart", "data": str(data)}))
    assert str(data / "boolq" / "test.json") in require_inputs(draft).files


def test_the_plan_s_hash_does_not_depend_on_where_the_study_lies(make_study: Any, tmp_path: Path) -> None:
    elsewhere = make_study(directory=str(tmp_path / "elsewhere"))
    assert draft_protocol(make_study()).protocol.sha256() == draft_protocol(elsewhere).protocol.sha256()


def test_a_study_whose_inputs_are_not_here_can_be_estimated_and_not_registered(make_study: Any) -> None:
    draft = draft_protocol(make_study(evaluation={"suite": "quickstart", "data": "nowhere"}))
    with pytest.raises(UserError, match="nowhere"):
        require_inputs(draft)


def test_a_suite_file_s_rows_are_registered_with_it(make_study: Any, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one=None)
    files = require_inputs(draft_protocol(make_study(evaluation={"suite": str(suite)}))).files
    assert {str(suite), str(tmp_path / "rows.jsonl")} <= files.keys()
