"""A whole study on the tiny base, killed in the middle: real training, real scoring, real analysis."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from schemas.run_directory import RunDirectory
from schemas.studies.study_plan import ChosenRates, StudyPlan
from schemas.studies.study_report import StudyReport
from studies.run.driver import compared_jobs
from studies.run.jobs import RunJob
from studies.run.study_file import arm_settings, load_study, run_config

ARMS = {
    "lora": {"asks": "plain", "overrides": {"method": "lora"}},
    "echo": {"asks": "full", "overrides": {"method": "echo_lora"}},
}
STEPS = 24


def command(study: Path) -> list[str]:
    return [sys.executable, "-m", "trainer", "study", str(study)]


def write_study(directory: Path, base: Path, records: list[dict[str, Any]], training_runs: ModuleType) -> Path:
    config = training_runs.write_config(directory, base, records, training__max_steps=STEPS)
    (directory / "items" / "boolq").mkdir(parents=True)
    (directory / "items" / "boolq" / "test.json").write_text(json.dumps(records[:12]))
    study = {
        "name": "small",
        "directory": str(directory / "study"),
        "config": str(config),
        "bases": {"tiny": {}},
        "arms": ARMS,
        "seeds": [3],
        "tuning": {"grid": [1e-2]},
        "evaluation": {"suite": "quickstart", "data": str(directory / "items")},
        "analysis": {
            "draws": 400,
            "contrasts": {"gain": {"candidate": "echo", "baseline": "lora", "asks": "better?"}},
        },
    }
    path = directory / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def unlocked(run: Path) -> bool:
    """Whether no trainer is at work in the run directory."""
    descriptor = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.fixture(scope="module")
def killed_and_resumed(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    records: list[dict[str, Any]],
    training_runs: ModuleType,
) -> Path:
    """A study that was killed while its first run was training, and then run again to its end; its YAML file."""
    directory = tmp_path_factory.mktemp("study")
    study = write_study(directory, tiny_base, records, training_runs)
    first = directory / "study" / "runs" / "tiny.lora.seed3"
    process = subprocess.Popen(command(study), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(first.glob("checkpoints/step-*")), process, seconds=200)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: unlocked(first), None, seconds=20)
    assert not (first / "adapter").exists(), "the kill came too late to be one in the middle"
    ended = subprocess.run(command(study), capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr
    return study


@pytest.fixture(scope="module")
def report(killed_and_resumed: Path) -> StudyReport:
    return StudyReport.read(killed_and_resumed.parent / "study" / "study_report.json")


def test_the_killed_run_goes_on_from_its_checkpoint(killed_and_resumed: Path) -> None:
    log = (killed_and_resumed.parent / "study" / "logs" / "tiny.lora.seed3.log").read_text()
    assert "resuming from step-" in log


def test_every_adapter_is_the_one_of_an_undisturbed_run(
    killed_and_resumed: Path, training_runs: ModuleType, tmp_path: Path
) -> None:
    study = load_study(killed_and_resumed)
    plan = StudyPlan.read(Path(study.directory) / "study_plan.json")
    for planned in plan.protocol.arms:
        config = run_config(study, planned, seed=3, rate=1e-2)
        made = RunDirectory(Path(study.directory) / "runs" / config.name)
        undisturbed = training_runs.run(config.model_copy(update={"runs": str(tmp_path)}))
        assert training_runs.adapter_sha256(made) == training_runs.adapter_sha256(undisturbed)


def test_the_plan_was_written_before_the_first_run_and_the_report_holds_its_hash(
    killed_and_resumed: Path, report: StudyReport
) -> None:
    directory = killed_and_resumed.parent / "study"
    plan = StudyPlan.read(directory / "study_plan.json")
    assert report.protocol_sha256 == plan.protocol_sha256 == plan.protocol.sha256()
    first_file = min(path.stat().st_mtime for path in (directory / "runs").rglob("*") if path.is_file())
    assert (directory / "study_plan.json").stat().st_mtime < first_file
    assert report.amendments == ()


def test_the_report_holds_every_arm_on_the_same_items_with_its_compute(report: StudyReport) -> None:
    assert [one.arm for one in report.arms] == ["lora", "echo"]
    assert report.bases[0].items == {"commonsense_170k_boolq": 12}
    lora, echo = report.arms
    assert echo.cost.flops > lora.cost.flops
    assert lora.cost.adapter_parameters == echo.cost.adapter_parameters
    assert report.contrasts[0].macro.estimate == pytest.approx(echo.mean - lora.mean)
    assert report.contrasts[0].power.seed_deviation is None  # one seed tells nothing about seeds


def test_finished_runs_are_done_and_keep_no_checkpoints(killed_and_resumed: Path) -> None:
    for job in jobs(killed_and_resumed):
        assert job.next_work() is None
        assert not job.run.checkpoints.exists()


def test_a_run_whose_report_or_adapter_was_touched_is_not_done(killed_and_resumed: Path) -> None:
    job = jobs(killed_and_resumed)[1]
    samples = job.run.evaluation("quickstart") / "samples.jsonl"
    original = samples.read_bytes()
    samples.write_bytes(original.replace(b'"wrong"', b'"correct"'))
    asked = job.next_work()
    samples.write_bytes(original)
    assert asked is not None
    assert asked.phase == "scoring"
    weights = job.run.adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\1\2\3")
    asked = job.next_work()
    weights.write_bytes(whole)
    assert asked is not None
    assert asked.phase == "training"


def test_a_second_analysis_finds_the_same_figures_and_the_same_adapters(
    killed_and_resumed: Path, report: StudyReport
) -> None:
    directory = killed_and_resumed.parent / "study"
    analysis = [sys.executable, "-m", "evaluator", "study", str(directory)]
    again = [*analysis, "--repeats", str(directory / "study_report.json")]
    ended = subprocess.run(again, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("the same, bit for bit") == len(report.adapters_sha256) == len(ARMS)
    unchanged = {"created": report.created}
    assert StudyReport.read(directory / "study_report.json").model_copy(update=unchanged) == report


def test_the_page_is_whole_in_itself_and_holds_every_plot(killed_and_resumed: Path, report: StudyReport) -> None:
    text = (killed_and_resumed.parent / "study" / "report.html").read_text()
    assert report.protocol_sha256 in text
    labels = re.findall('<svg role="img" aria-label="([^"]+)"', text)
    assert [label.split()[0] for label in labels] == ["Paired", "Macro", "Training"]
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "url(http" not in text
    assert not re.search("#0[1-9a]0[1-9a]0[1-9a]", text)


def test_the_summary_says_what_was_found_and_under_which_plan(killed_and_resumed: Path, report: StudyReport) -> None:
    text = (killed_and_resumed.parent / "study" / "summary.md").read_text()
    assert report.protocol_sha256[:12] in text
    assert "not changed since" in text
    assert "| echo - lora |" in text


def jobs(study: Path) -> list[RunJob]:
    directory = study.parent / "study"
    plan, rates = StudyPlan.read(directory / "study_plan.json"), ChosenRates.read(directory / "learning_rates.json")
    return [job for *_, job in compared_jobs(plan, rates)]


def test_every_arm_of_the_ready_studies_trains_something_of_its_own(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType
) -> None:
    """A switch that does nothing would make two arms end in the same bytes."""
    base = training_runs.write_config(tmp_path, tiny_base, records[:24], training__max_steps=4)
    ready = load_study(Path("configs/studies/quickstart.yaml"))
    study = ready.model_copy(update={"config": str(base), "overrides": {}, "directory": str(tmp_path / "study")})
    made = {}
    for arm in study.arms:
        settings = arm_settings(study, "tiny", arm)
        config = training_runs.load_config(base).model_validate(
            {**settings, "name": arm, "runs": str(tmp_path / "runs"), "seed": 1}
        )
        made[arm] = training_runs.adapter_sha256(training_runs.run(config))
    unmatched = {arm: sha for arm, sha in made.items() if not study.arms[arm].compute_matched_to}
    assert len(set(unmatched.values())) == len(unmatched)
