"""The workers, with small real processes in place of training: who gets which GPU, what is kept, who is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from schemas.errors import Interrupted
from studies.run.work import Phase
from studies.run.workers import Failure, Tally, Worker, cpu_workers, gpu_workers, run_jobs


@dataclass(frozen=True)
class Program:
    """Work in the form of a few statements."""

    text: str
    target: str
    phase: ClassVar[Phase] = "training"

    def __call__(self) -> None:
        sys.argv = ["program", self.target]
        exec(f"import os, sys, time; {self.text}", {})


@dataclass
class Script:
    """A job that is done once its file is there."""

    name: str
    place: Path
    program: str = "open(sys.argv[1], 'w').write('done')"

    @property
    def target(self) -> Path:
        return self.place / self.name

    def next_work(self) -> Program | None:
        return None if self.target.exists() else Program(self.program, str(self.target))

    def progress(self) -> str:
        return ""

    def score(self) -> float | None:
        return 1.0 if self.target.exists() else None


def run(jobs: list[Script], workers: list[Worker], place: Path) -> tuple[list[Failure], Tally]:
    tally = Tally()
    return run_jobs(jobs, workers, place / "logs", tally, lambda: None), tally


def test_every_gpu_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [worker.environment for worker in gpu_workers(2)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]


def test_only_the_gpus_that_were_granted_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [worker.environment["CUDA_VISIBLE_DEVICES"] for worker in gpu_workers(2)] == ["3", "5"]


def test_each_worker_runs_one_job_at_a_time_and_all_of_them_work(tmp_path: Path) -> None:
    say = "time.sleep(0.3); open(sys.argv[1], 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    jobs = [Script(f"job{number}", tmp_path, say) for number in range(4)]
    failures, tally = run(jobs, gpu_workers(2) if "CUDA_VISIBLE_DEVICES" not in os.environ else [], tmp_path)
    assert failures == []
    assert {job.target.read_text() for job in jobs} == {"0", "1"}
    assert len(tally.finished) == 4


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    job = Script("job", tmp_path, "raise SystemExit('must not run')")
    job.target.write_text("before")
    failures, tally = run([job], cpu_workers(1), tmp_path)
    assert failures == []
    assert (job.target.read_text(), tally.finished) == ("before", {"job": 1.0})


def test_a_variable_that_would_override_the_config_does_not_reach_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_LORA_SEED", "7")
    job = Script("job", tmp_path, "open(sys.argv[1], 'w').write(str('ECHO_LORA_SEED' in os.environ))")
    run([job], cpu_workers(1), tmp_path)
    assert job.target.read_text() == "False"


@pytest.mark.parametrize("program", ["raise SystemExit('error: the disk is gone')", "print('said nothing of use')"])
def test_a_job_that_leaves_nothing_fails_with_its_last_words_and_the_others_go_on(tmp_path: Path, program: str) -> None:
    jobs = [Script("bad", tmp_path, program), Script("good", tmp_path)]
    failures, tally = run(jobs, cpu_workers(1), tmp_path)
    assert [failure.name for failure in failures] == ["bad"]
    assert failures[0].reason in failures[0].log.read_text()
    assert tally.finished == {"good": 1.0}


@pytest.mark.parametrize(
    ("program", "diverged"),
    [
        ("raise SystemExit(5)", True),
        ("sys.exit('error: the loss or its gradient is not finite at step 3')", False),  # words alone decide nothing
    ],
)
def test_a_run_has_diverged_when_its_exit_code_says_so(tmp_path: Path, program: str, diverged: bool) -> None:
    failures, _ = run([Script("job", tmp_path, program)], cpu_workers(1), tmp_path)
    assert [failure.diverged for failure in failures] == [diverged]


def test_an_interrupted_study_tells_its_runs_to_stop_and_waits_for_them(tmp_path: Path) -> None:
    saves = (
        "import signal; stopped = []; signal.signal(signal.SIGTERM, lambda *_: stopped.append(1)); "
        "print('up', flush=True)\nwhile not stopped: time.sleep(0.01)\n"
        "open(sys.argv[1] + '.checkpoint', 'w').write('saved')"
    )
    job, tally = Script("job", tmp_path, saves), Tally()

    def interrupt() -> None:
        if (tmp_path / "logs" / "job.log").read_text():
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="0 of 1 runs are finished"):
        run_jobs([job], cpu_workers(1), tmp_path / "logs", tally, interrupt)
    assert (tmp_path / "job.checkpoint").read_text() == "saved"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_the_runs_of_a_killed_study_die_with_it(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from tests.studies.run.test_workers import Script, run, cpu_workers
if __name__ == "__main__":
    place = Path(sys.argv[1])
    run([Script("job", place, "print(os.getpid(), flush=True); time.sleep(60)")], cpu_workers(1), place)
"""
    script = tmp_path / "study.py"
    script.write_text(program)
    driver = subprocess.Popen([sys.executable, script, tmp_path])
    log = tmp_path / "logs" / "job.log"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child = int(log.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
