"""The Actions workflow: sound by itself, pinned, without rights it does not need, and made of steps that run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github/workflows/quickstart.yml"
ACTIONLINT = shutil.which("actionlint")


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


@pytest.fixture(scope="module")
def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.skipif(ACTIONLINT is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    found = subprocess.run([str(ACTIONLINT), str(WORKFLOW)], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_every_action_is_pinned_to_a_commit_and_names_its_version() -> None:
    used = [line.strip() for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.fullmatch(r"(- )?uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_the_job_may_read_the_code_and_nothing_else(workflow: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    checkout = next(step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["persist-credentials"] is False
    assert "secrets." not in WORKFLOW.read_text()


def test_every_script_is_valid_shell_without_expressions(steps: list[dict[str, Any]]) -> None:
    """`${{ }}` inside a script is how a pull request's title becomes a command."""
    for script in (step["run"] for step in steps if "run" in step):
        assert "${{" not in script
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_every_file_a_step_names_is_in_the_repository(steps: list[dict[str, Any]]) -> None:
    named = {path for step in steps for path in re.findall(r"configs/[\w./-]+", step.get("run", ""))}
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.skipif("RUN_WORKFLOW" not in os.environ, reason="trains the quickstart twice; RUN_WORKFLOW=1 runs it")
def test_its_steps_run_one_after_the_other(
    workflow: dict[str, Any], steps: list[dict[str, Any]], tmp_path: Path
) -> None:
    """In a copy of the tracked files; actions (`uses`) are GitHub's to run.

    `make setup` is left out: in the copy it would reinstall the environment that these tests run in.
    """
    checkout, summary = tmp_path / "checkout", tmp_path / "summary.md"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    environment = {**os.environ, **workflow["jobs"]["gate"]["env"], "GITHUB_STEP_SUMMARY": str(summary)}
    scripts = [step["run"] for step in steps if "run" in step]
    assert scripts.pop(0) == "make setup"
    for script in scripts:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        subprocess.run(command, cwd=checkout, env=environment, check=True)
    assert summary.read_text().startswith("## ✅ pass: quickstart-echo_lora")
    run = checkout / "runs/quickstart-echo_lora"
    assert all((run / name).is_file() for name in ("verdict.json", "verdict.junit.xml", "verdict.md", "report.html"))
