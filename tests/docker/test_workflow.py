"""The Actions workflow: sound by itself, pinned, without rights it does not need, and made of steps that run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/quickstart.yml"
ACTIONLINT = shutil.which("actionlint")


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


@pytest.fixture(scope="module")
def job(workflow: dict[str, Any]) -> dict[str, Any]:
    (only,) = workflow["jobs"].values()
    return only


@pytest.fixture(scope="module")
def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return job["steps"]


@pytest.mark.skipif(ACTIONLINT is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    found = subprocess.run([str(ACTIONLINT), str(WORKFLOW)], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_zizmor_finds_no_way_in() -> None:
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "--pedantic", WORKFLOW]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout


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


RUNS = os.environ.get("RUN_WORKFLOW")
"""`full` trains as the workflow says, some six minutes; `short`, which .ci/run takes, for so few steps that nothing is learnt."""


@pytest.mark.skipif(RUNS != "full", reason="trains the quickstart twice; RUN_WORKFLOW=full runs it")
def test_its_steps_pass_what_the_quickstart_trains(job: dict[str, Any], tmp_path: Path) -> None:
    ended = run_steps(job, tmp_path, {})
    assert set(ended.values()) == {0}
    assert summary_of(tmp_path).startswith("## ✅ pass: quickstart-echo_lora")


@pytest.mark.skipif(RUNS != "short", reason="trains the quickstart twice, for a few steps; RUN_WORKFLOW=short runs it")
def test_its_gate_stops_what_has_not_learnt_and_the_job_shows_why(job: dict[str, Any], tmp_path: Path) -> None:
    ended = run_steps(job, tmp_path, {"ECHO_LORA_TRAINING__MAX_STEPS": "10"})
    assert [name for name, code in ended.items() if code] == ["Gate"]
    assert ended["Gate"] == 3
    assert summary_of(tmp_path).startswith("## ❌ rejected: quickstart-echo_lora")


def run_steps(job: dict[str, Any], folder: Path, more: dict[str, str]) -> dict[str, int]:
    """Runs the job's scripts as Actions does, in a copy of the tracked files: after a failure only what is not given up.

    `make setup` is left out, since in the copy it would reinstall the environment that these tests run in; actions
    (`uses`) are GitHub's to run.

    Returns:
        Each script's exit code by its step's name.
    """
    checkout = folder / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    environment = {**os.environ, **job["env"], **more, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    scripts = [step for step in job["steps"] if "run" in step]
    assert scripts.pop(0)["run"] == "make setup"
    ended: dict[str, int] = {}
    for step in scripts:
        if not any(ended.values()) or "!cancelled()" in step.get("if", ""):
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            ended[step["name"]] = subprocess.run(command, cwd=checkout, env=environment, check=False).returncode
    run = checkout / "runs/quickstart-echo_lora"
    assert all((run / name).is_file() for name in ("verdict.json", "verdict.junit.xml", "verdict.md", "report.html"))
    return ended


def summary_of(folder: Path) -> str:
    """What the job's page shows."""
    return (folder / "summary.md").read_text()
