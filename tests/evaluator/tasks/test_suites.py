"""Suites are data: names that exist, backends that can run them, tasks whose YAML is there."""

import pytest

from evaluator.tasks.suites import SUITES, find_suite
from evaluator.tasks.yaml_files import task_configs
from schemas.errors import UserError


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_every_task_of_every_suite_has_its_yaml(suite):
    configs = task_configs(suite)
    assert len(configs) == {"mmlu": 57}.get(suite.name, len(suite.tasks))
    assert all(config["task"] == name for name, config in configs.items())


def test_an_unknown_suite_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="unknown suite 'nope'") as caught:
        find_suite("nope", "hf")
    assert "gsm8k" in caught.value.fix


def test_beams_run_with_transformers_only():
    assert find_suite("commonsense_170k_beam4", "hf").backends == ("hf",)
    with pytest.raises(UserError, match="does not run on the vllm backend"):
        find_suite("commonsense_170k_beam4", "vllm")
