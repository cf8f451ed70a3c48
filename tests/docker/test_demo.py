"""The demos: their scripts name what is here, their questions fit the recipe, and without a base the tiny one runs instead."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.suite_file import SuiteFile
from studies.synthetic import message_wordings as words

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("demo_ask", ROOT / "docker/demo_ask.py")
assert SPEC
assert SPEC.loader
demo_ask = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(demo_ask)
SCRIPTS = ("demo.sh", "demo_tiny.sh", "demo_steps.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_valid_shell_and_the_files_that_it_names_are_here(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / "docker" / name], check=True)
    named = set(re.findall(r"(?:configs|docker)/[\w./-]+\.(?:yaml|json|sh|py)", (ROOT / "docker" / name).read_text()))
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_where_no_base_can_be_had_the_demo_says_so_and_runs_the_tiny_one(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    for name in ("demo.sh", "demo_steps.sh"):
        shutil.copy(ROOT / "docker" / name, tmp_path / "docker" / name)
    tiny = tmp_path / "docker" / "demo_tiny.sh"
    tiny.write_text("#!/bin/sh\necho the tiny demo begins\n")
    tiny.chmod(0o755)
    nowhere = {"HF_HUB_OFFLINE": "1", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    nowhere |= {"PIP_CONFIG_FILE": "/dev/null", "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", tmp_path / "docker" / "demo.sh"]
    told = subprocess.run(
        command, env={**os.environ, **nowhere, "PATH": path}, capture_output=True, text=True, timeout=120, check=True
    )
    assert "The base cannot be had here (above): this is the tiny demo instead" in told.stdout
    assert told.stdout.endswith("the tiny demo begins\n")
    assert not (tmp_path / "bases").exists() or not list((tmp_path / "bases").iterdir())


def test_the_questions_are_answered_in_the_form_that_is_learned_and_are_no_training_rows() -> None:
    for message, answer in demo_ask.QUESTIONS:
        assert list(answer) == demo_ask.SCHEMA["required"]
        assert answer["intent"] in words.INTENTS
        assert f"{answer['product']}s" in message
        assert any(f"{said} {answer['product']}" in message for said in words.QUANTITIES[answer["quantity"]])


def test_the_gate_asks_nothing_of_one_run_against_another() -> None:
    for path in ("configs/policies/demo.yaml", "docker/ci/demo_short.yaml"):
        policy = GatePolicy.model_validate(yaml.safe_load((ROOT / path).read_text()))
        checks = [check for suite in policy.suites.values() for check in suite.checks]
        assert {getattr(check, "against", "base") for check in checks} == {"base"}


def test_the_suites_ask_the_same_messages_in_the_same_words() -> None:
    """Apart from the examples: what one has answered, the fields' suite finds stored."""
    names = ("suite.yaml", "fields.yaml", "three_examples.yaml")
    tasks = [next(iter(SuiteFile.from_yaml(ROOT / "configs/demo" / name).tasks.values())) for name in names]
    assert len({task.model_dump_json(exclude={"shots", "counts"}) for task in tasks}) == 1
