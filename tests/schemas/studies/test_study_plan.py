"""A registered plan is what its hash says, wherever it lies."""

import json
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.studies.study_plan import StudyPlan, run_name

GAIN = Path("configs/studies/results/gain/study_plan.json")


def test_the_hash_that_results_cite_is_the_plan_s_own():
    plan = StudyPlan.read(GAIN)
    assert plan.protocol_sha256.startswith("88e0a702915f")
    assert plan.protocol.sha256() == plan.protocol_sha256


def test_the_study_s_place_on_the_disk_is_not_in_the_hash():
    protocol = StudyPlan.read(GAIN).protocol
    moved = protocol.model_copy(update={"study": protocol.study.model_copy(update={"directory": "elsewhere"})})
    assert moved.sha256() == protocol.sha256()


def test_a_plan_edited_by_hand_is_refused():
    data = json.loads(GAIN.read_text())
    data["protocol"]["study"]["seeds"] = [1, 2, 3]
    with pytest.raises(UserError, match="edited by hand"):
        StudyPlan.parse(data, where=GAIN)


def test_a_run_s_name_says_base_arm_seed_and_in_tuning_the_rate():
    assert run_name("small", "lora", 7) == "small.lora.seed7"
    assert run_name("small", "lora", 7, 2e-3) == "small.lora.lr0.002.seed7"
