"""The reusable GitHub action and the GitLab template: valid by their schemas, without ways in, and made of steps that run."""

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

from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict
from tests.evaluator.conftest import make_run
from tests.evaluator.tasks.own.suite_files import write_suite

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/gate/action.yml"
GITLAB = ROOT / "ci/gitlab.yml"
POLICY = "name: loose\nsuites: {mine: {checks: [{kind: unparsed, limit: 100}]}}\n"


def gitlab_job() -> dict[str, Any]:
    _, jobs = yaml.safe_load_all(GITLAB.read_text())
    return dict(jobs["gate-adapter"])


def action_step(name: str) -> dict[str, Any]:
    return next(step for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if step["name"] == name)


def check(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_action_fits_github_s_schema_and_lets_nothing_in() -> None:
    fits = check("vendor.github-actions", ACTION)
    assert fits.returncode == 0, fits.stdout
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", "--pedantic", ACTION]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_template_s_jobs_fit_gitlab_s_schema(tmp_path: Path) -> None:
    (tmp_path / "jobs.yml").write_text(yaml.safe_dump({"gate-adapter": gitlab_job()}))
    fits = check("vendor.gitlab-ci", tmp_path / "jobs.yml")
    assert fits.returncode == 0, fits.stdout


def test_every_input_of_the_template_is_used_and_no_other() -> None:
    spec, job = yaml.safe_load_all(GITLAB.read_text())
    text = yaml.safe_dump(job)
    assert all(f"$[[ inputs.{name} ]]" in text for name in spec["spec"]["inputs"])
    assert text.count("$[[") == len(spec["spec"]["inputs"])


@pytest.mark.parametrize("script", [*[action_step(n)["run"] for n in ("Install", "Gate", "Comment")], *gitlab_job()["script"], (ROOT / "ci/gate.sh").read_text()])  # fmt: skip
def test_every_script_is_shell_into_which_nothing_is_pasted(script: str) -> None:
    assert "${{" not in script
    assert "$[[" not in script
    subprocess.run(["bash", "-n", "-c", script], check=True)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """What a repository that uses the action has: a run, a suite file and a policy."""
    directory = tmp_path_factory.mktemp("workplace")
    make_run(directory / "runs/mine", tiny_base, "lora")
    write_suite(directory, one={"max_new_tokens": 2})
    (directory / "policy.yaml").write_text(POLICY)
    return directory


def run(script: str, directory: Path, **more: str) -> subprocess.CompletedProcess[str]:
    given = {"ADAPTER": "runs/mine", "SUITE": "suite.yaml", "POLICY": "policy.yaml", "AGAINST": "base"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, **given, **more}
    return subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=directory, env=environment, capture_output=True, text=True, check=False)  # fmt: skip


def test_the_action_s_gate_scores_judges_and_shows_the_verdict(workplace: Path) -> None:
    places = {"GITHUB_STEP_SUMMARY": str(workplace / "summary.md"), "GITHUB_OUTPUT": str(workplace / "output")}
    ended = run(action_step("Gate")["run"], workplace, GITHUB_ACTION_PATH=str(ACTION.parent), **places)
    assert ended.returncode == 0, ended.stderr
    assert (workplace / "summary.md").read_text().startswith("## ✅ pass: mine")
    assert (workplace / "output").read_text() == "verdict=runs/mine/verdict.json\n"


def test_the_template_s_gate_adopts_another_tool_s_adapter_and_keeps_the_verdict(
    workplace: Path, tiny_base: Path
) -> None:
    (workplace / ".echo-lora").symlink_to(ROOT)
    (workplace / "theirs").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(workplace / "runs/mine/adapter" / name, workplace / "theirs" / name)
    ended = run("\n".join(gitlab_job()["script"]), workplace, ADAPTER="theirs", BASE=str(tiny_base))
    assert ended.returncode == 0, ended.stderr
    verdict = Verdict.read(workplace / "gate/verdict.json")
    assert (verdict.decision, verdict.adapter.name) == ("pass", "theirs")
    assert (workplace / "gate/verdict.junit.xml").is_file()


def test_without_a_verdict_the_step_fails_and_nothing_is_shown(workplace: Path, tmp_path: Path) -> None:
    places = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    given = {"GITHUB_ACTION_PATH": str(ACTION.parent), "SUITE": "absent.yaml", **places}
    ended = run(action_step("Gate")["run"], workplace, **given)
    assert ended.returncode == 2
    assert "absent.yaml" in ended.stderr
    assert not (tmp_path / "summary.md").exists()


def page_blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/policies-and-ci.md").read_text(), flags=re.DOTALL)


def test_the_page_s_policy_and_workflow_are_valid(tmp_path: Path) -> None:
    policy, workflow, _ = page_blocks()
    (tmp_path / "policy.yaml").write_text(policy)
    assert len(GatePolicy.from_yaml(tmp_path / "policy.yaml").suites["support"].checks) == 5
    (tmp_path / "gate.yml").write_text(workflow)
    fits = check("vendor.github-workflows", tmp_path / "gate.yml")
    assert fits.returncode == 0, fits.stdout


def test_the_page_gives_inputs_that_action_and_template_know() -> None:
    _, workflow, include = (yaml.safe_load(block) for block in page_blocks())
    given = workflow["jobs"]["gate"]["steps"][-1]["with"]
    inputs = yaml.safe_load(ACTION.read_text())["inputs"]
    assert set(given) <= set(inputs)
    assert {name for name, one in inputs.items() if one.get("required")} <= set(given)
    spec = next(yaml.safe_load_all(GITLAB.read_text()))["spec"]["inputs"]
    asked = include["include"][0]["inputs"]
    assert {name for name, one in spec.items() if "default" not in one} <= set(asked) <= set(spec)
