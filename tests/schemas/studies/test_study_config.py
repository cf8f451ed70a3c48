"""A study names what it compares; what is misspelt or circular is refused before anything runs."""

import json
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.studies.study_config import StudyConfig
from studies.run.study_file import load_study


@pytest.fixture(scope="module")
def study():
    return json.loads(load_study(Path("configs/studies/quickstart.yaml")).to_json())


def changed(study, path, value):
    copy = json.loads(json.dumps(study))
    place = copy
    *parents, key = path.split("/")
    for parent in parents:
        place = place[parent]
    place[key] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("analysis/contrasts/echo_gain/candidate", "echo", "names arm echo, which is not there"),
        ("arms/lora_compute_matched/compute_matched_to", "echoo", "names arm echoo"),
        ("arms/lora/compute_matched_to", "lora_compute_matched", "itself matched"),
        ("arms/lora/overrides", {"name": "x"}, "sets name, which the study sets"),
        ("seeds", [1, 1], "a seed is named twice"),
        ("tuning/seeds", [0], "tuning.seeds must not be among seeds"),
        ("expectations", [{"base": "none", "arm": "lora", "macro": 0.5, "source": "x"}], "names base none"),
    ],
)
def test_a_faulty_study_is_refused_with_the_place(study, path, value, complaint):
    with pytest.raises(UserError, match=complaint):
        StudyConfig.parse(changed(study, path, value), where="here")


def test_every_fault_is_named_at_once(study):
    both = changed(changed(study, "seeds", [1, 1]), "arms/lora/overrides", {"name": "x"})
    with pytest.raises(UserError, match=r"sets name.*named twice"):
        StudyConfig.parse(both, where="here")
