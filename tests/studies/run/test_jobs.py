"""A job is done when its artifacts verify, and an amended plan keeps what it no longer counts."""

from __future__ import annotations

from pathlib import Path

from schemas.studies.study_config import StudyEvaluation
from schemas.studies.study_plan import StudyProtocol
from studies.run.jobs import BaseJob, RunJob
from studies.run.study_file import run_config
from tests.evaluator.tasks.own.suite_files import write_suite
from trainer.config_file import write_config


def test_an_amended_study_sets_aside_runs_of_another_config_and_keeps_the_others(
    protocol: StudyProtocol, tmp_path: Path
) -> None:
    kept, changed = (run_config(protocol.study, protocol.arms[0], seed=seed, rate=0.01) for seed in (0, 1))
    for config, written in ((kept, kept), (changed, changed.model_copy(update={"method": "dora"}))):
        job = RunJob(tmp_path, config, None, tmp_path / "superseded")
        write_config(written, job.run.config)
        work = job.next_work()
        assert work is not None
        assert work.phase == "training"
    assert (Path(kept.runs) / kept.name / "config.yaml").is_file()
    assert (tmp_path / "superseded" / changed.name / "config.yaml").is_file()
    assert not (Path(changed.runs) / changed.name).exists()


def test_what_was_set_aside_once_is_not_lost_when_another_is(protocol: StudyProtocol, tmp_path: Path) -> None:
    config = run_config(protocol.study, protocol.arms[0], seed=0, rate=0.01)
    for method in ("dora", "lora"):
        job = RunJob(tmp_path, config.model_copy(update={"seed": 9}), None, tmp_path / "superseded")
        write_config(config.model_copy(update={"method": method}), job.run.config)
        (job.run.root / "notes.md").write_text(method)
        job.next_work()
    kept = sorted((tmp_path / "superseded").glob("*/notes.md"))
    assert [path.read_text() for path in kept] == ["dora", "lora"]


def test_a_base_scored_on_a_suite_file_is_done_when_the_report_of_its_name_is_there(
    protocol: StudyProtocol, tmp_path: Path
) -> None:
    config = run_config(protocol.study, protocol.arms[0], seed=0, rate=0.01)
    items = StudyEvaluation(suite=str(write_suite(tmp_path, one={"max_new_tokens": 2})))
    job = BaseJob(tmp_path / "study", "tiny", config, items)
    work = job.next_work()
    assert work is not None
    work()
    assert job.next_work() is None
    report = job.report()
    assert report is not None
    assert report.suite == "mine"
