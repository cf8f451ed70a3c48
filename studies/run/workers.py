"""Runs jobs in processes of their own: one worker per GPU, or as many as asked for on the CPU.

One loop, no threads: it starts work, looks after them twice a second, and draws the board. However the loop ends, its
children end too: told to stop and waited for after Ctrl-C or SIGTERM, killed by the system where this process is killed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path

from schemas.errors import DIVERGED, OK, Interrupted, run_command
from studies.run.jobs import Job
from studies.run.work import Work

_LOOK_EVERY = 0.5  # seconds
_GRACE = 120.0  # seconds for a checkpoint
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Worker:
    """A place to run one job at a time."""

    environment: Mapping[str, str]
    """What its processes get."""
    label: str
    """Such as `GPU 0`."""


@dataclass
class Activity:
    """A job with its worker."""

    job: Job
    worker: Worker
    work: Work
    process: SpawnProcess
    started: float


@dataclass(frozen=True)
class Failure:
    """A job that cannot be finished."""

    name: str
    """The job's name."""
    log: Path
    """Its output."""
    reason: str
    """The output's last words."""
    exit_code: int
    """Of its last command; 0 where that command ended well and left nothing."""

    @property
    def diverged(self) -> bool:
        """Whether training ended because the loss was not finite."""
        return self.exit_code == DIVERGED


@dataclass
class Tally:
    """What the loop has done so far, for the board."""

    finished: dict[str, float | None] = field(default_factory=dict)
    """Scores of finished jobs by name."""
    failed: dict[str, Failure] = field(default_factory=dict)
    """Failures by name."""
    active: list[Activity] = field(default_factory=list)
    """What runs now."""
    seconds: list[float] = field(default_factory=list)
    """How long each job that ran here took."""


def cpu_workers(jobs: int) -> list[Worker]:
    """Workers that share this machine's processors."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, processors // jobs))
    return [Worker({"OMP_NUM_THREADS": threads}, f"CPU {number}") for number in range(jobs)]


def gpu_workers(count: int) -> list[Worker]:
    """One worker per GPU that this process may use."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return [Worker({"CUDA_VISIBLE_DEVICES": name}, f"GPU {name}") for name in named or map(str, range(count))]


def run_jobs(
    jobs: Sequence[Job], workers: Sequence[Worker], logs: Path, tally: Tally, draw: Callable[[], None]
) -> list[Failure]:
    """Finishes what is not finished, in the jobs' order, and returns what failed.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the running work was told to save and stop.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, idle, began = list(jobs), list(workers), dict[str, float]()
    try:
        while waiting or tally.active:
            for activity in [one for one in tally.active if not one.process.is_alive()]:
                tally.active.remove(activity)
                if not _go_on(activity, logs, tally, began):
                    idle.append(activity.worker)
            while waiting and idle:
                job = waiting.pop(0)
                work = job.next_work()
                if work is None:
                    tally.finished[job.name] = job.score()
                else:
                    began[job.name] = time.monotonic()
                    tally.active.append(_start(job, work, idle.pop(0), logs))
            draw()
            if tally.active:
                time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt as stop:
        _stop(tally.active)
        code = stop.exit_code if isinstance(stop, Interrupted) else 130
        done = f"{len(tally.finished)} of {len(jobs)} runs are finished"
        raise Interrupted(f"\nstopped; {done}, the same command goes on from there", exit_code=code) from None
    except BaseException:
        _stop(tally.active)
        raise
    return [tally.failed[job.name] for job in jobs if job.name in tally.failed]


def _go_on(ended: Activity, logs: Path, tally: Tally, began: Mapping[str, float]) -> bool:
    """Starts the next work of a job whose last one ended; False where the job is done or failed."""
    job = ended.job
    work = job.next_work()
    if work is None:
        tally.finished[job.name] = job.score()
        tally.seconds.append(time.monotonic() - began[job.name])
        return False
    if ended.process.exitcode or work == ended.work:
        log = logs / f"{job.name}.log"
        tally.failed[job.name] = Failure(job.name, log, _last_words(log), ended.process.exitcode or 0)
        return False
    tally.active.append(_start(job, work, ended.worker, logs))
    return True


def _start(job: Job, work: Work, worker: Worker, logs: Path) -> Activity:
    log = logs / f"{job.name}.log"
    log.touch()
    arguments = (work, dict(worker.environment), log, os.getpid())
    process = multiprocessing.get_context("spawn").Process(target=_child, args=arguments)
    process.start()
    return Activity(job, worker, work, process, time.monotonic())


def _child(work: Work, environment: Mapping[str, str], log: Path, parent: int) -> None:
    """The process's life. Nothing heavy is imported yet, so the libraries see the environment."""
    os.setsid()  # Ctrl-C reaches the study alone, which then tells each child once
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    # A variable that overrides the config would change arms behind the plan's back.
    for name in [name for name in os.environ if name.upper().startswith("ECHO_LORA_")]:
        del os.environ[name]
    os.environ.update(environment)

    def run(_: list[str]) -> int:
        work()
        return OK

    run_command(run, [])


def _stop(active: Sequence[Activity]) -> None:
    for activity in active:
        activity.process.terminate()
    deadline = time.monotonic() + _GRACE
    for activity in active:
        activity.process.join(max(0.0, deadline - time.monotonic()))
        if activity.process.is_alive():
            activity.process.kill()
            activity.process.join()


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-6:])
