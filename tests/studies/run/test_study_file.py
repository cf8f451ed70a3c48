"""The ready studies: every arm is a valid config that differs from the others in what it names and in nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.errors import UserError
from schemas.studies.study_config import StudyConfig
from studies.run.study_file import arm_settings, load_study
from trainer.config_file import merge

STUDIES = Path("configs/studies")
ISSUE = {
    "lora", "lora_all_tokens", "auxiliaries", "echo_lora", "echo_without_distillation", "echo_without_routing",
    "echo_all_tokens", "echo_shuffled", "echo_constant", "echo_shallow", "lora_compute_matched", "dora", "echo_dora",
    "echo_plain_teacher", "echo_in_rank",
}  # fmt: skip


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return load_study(STUDIES / "quickstart.yaml")


def paths(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    def flat(tree: dict[str, Any]) -> dict[str, str]:
        found = {}
        for path in paths(tree):
            value: Any = tree
            for key in path.split("."):
                value = value[key]
            found[path] = repr(value)
        return found

    left, right = flat(one), flat(other)
    return {path for path in left.keys() | right.keys() if left.get(path) != right.get(path)}


def test_every_arm_of_the_issue_is_there(study: StudyConfig) -> None:
    assert set(study.arms) >= ISSUE


@pytest.mark.parametrize("arm", load_study(STUDIES / "quickstart.yaml").arms)
def test_an_arm_differs_from_the_shared_settings_in_what_it_names_and_nothing_else(
    study: StudyConfig, arm: str
) -> None:
    plain = study.model_copy(update={"arms": {"plain": study.arms[arm].model_copy(update={"overrides": {}})}})
    difference = changed(arm_settings(study, "tiny", arm), arm_settings(plain, "tiny", "plain"))
    assert difference <= set(paths(study.arms[arm].overrides))


def test_no_two_arms_are_the_same_but_for_their_compute(study: StudyConfig) -> None:
    settings = {arm: str(arm_settings(study, "tiny", arm)) for arm in study.arms}
    twins = [arm for arm in settings if list(settings.values()).count(settings[arm]) > 1]
    assert twins == ["lora", "lora_compute_matched", "lora_two_pass_matched"]


@pytest.mark.parametrize("name", ["llama_7b", "llama2_7b", "llama3_8b"])
def test_the_published_settings_run_every_arm_and_name_what_to_expect(name: str) -> None:
    study = load_study(STUDIES / f"{name}_commonsense.yaml")
    assert set(study.arms) >= ISSUE
    assert {(one.arm, one.over) for one in study.expectations} == {
        ("lora", None), ("dora", None), ("echo_lora", "lora"), ("echo_dora", "dora"),
    }  # fmt: skip
    for arm in study.arms:
        assert arm_settings(study, name, arm)["adapter"]["rank"] == 32


def write(directory: Path, **changes: Any) -> Path:
    data: dict[str, Any] = {
        "include": "configs/studies/arms.yaml",
        "name": "mine",
        "directory": str(directory),
        "config": "configs/quickstart.yaml",
        "bases": {"tiny": {}},
        "seeds": [0, 1],
        "tuning": {"grid": [1e-3, 2e-3]},
        "evaluation": {"suite": "quickstart"},
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(merge(data, changes)))
    return path


def test_null_leaves_an_included_arm_and_its_contrast_out(tmp_path: Path) -> None:
    path = write(tmp_path, arms={"echo_dora": None}, analysis={"contrasts": {"dora_gain": None}})
    study = load_study(path)
    assert "echo_dora" not in study.arms
    assert "dora_gain" not in study.analysis.contrasts


def test_an_included_file_may_include_another_and_none_itself(tmp_path: Path) -> None:
    study = load_study(STUDIES / "deep.yaml")
    assert list(study.bases) == ["deep"]
    assert study.overrides["data"] == load_study(STUDIES / "small.yaml").overrides["data"]
    path = write(tmp_path)
    with pytest.raises(UserError, match="includes itself"):
        load_study(write(tmp_path, include=str(path)))


def test_select_keeps_arms_and_the_contrasts_among_them(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, select=["lora", "echo_lora", "echo_shuffled"]))
    assert list(study.arms) == ["lora", "echo_lora", "echo_shuffled"]
    assert list(study.analysis.contrasts) == ["echo_gain", "content"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"arms": {"dora": None}}, "names arm dora, which is not there"),
        ({"seeds": [0, 1000]}, "tuning.seeds must not be among seeds"),
        ({"arms": {"mine": {"asks": "x", "overrides": {"seed": 3}}}}, "sets seed, which the study sets"),
        ({"tuning": {"criterion": "validation_accuracy"}}, "needs tuning.data"),
        ({"seeds": [0, 0]}, "a seed is named twice"),
    ],
)
def test_a_study_that_could_not_be_believed_is_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_study(write(tmp_path, **changes))


def test_a_misspelt_override_is_refused_with_the_arm_s_name(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, arms={"typo": {"asks": "x", "overrides": {"echo": {"contents": "none"}}}}))
    with pytest.raises(UserError, match="contents: unknown key") as caught:
        arm_settings(study, "tiny", "typo")
    assert "arm typo" in str(caught.value)
