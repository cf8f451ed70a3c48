"""Runs jobs in processes of their own: one worker per GPU, or as many as asked for on the CPU.

One loop, no threads: it starts commands, looks after them twice a second, and draws the board. However the loop ends, its
children end too: told to stop and waited for after Ctrl-C or SIGTERM, killed by the system where this process is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import DIVERGED, Interrupted
from studies.run.jobs import Command, Job

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
    command: Command
    process: subprocess.Popen[bytes]
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
        Interrupted: Ctrl-C or SIGTERM; the running commands were told to save and stop.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, idle, began = list(jobs), list(workers), dict[str, float]()
    try:
        while waiting or tally.active:
            for activity in [one for one in tally.active if one.process.poll() is not None]:
                tally.active.remove(activity)
                if not _go_on(activity, logs, tally, began):
                    idle.append(activity.worker)
            while waiting and idle:
                job = waiting.pop(0)
                command = job.next_command()
                if command is None:
                    tally.finished[job.name] = job.score()
                else:
                    began[job.name] = time.monotonic()
                    tally.active.append(_start(job, command, idle.pop(0), logs))
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
    """Starts the next command of a job whose last one ended; False where the job is done or failed."""
    job = ended.job
    command = job.next_command()
    if command is None:
        tally.finished[job.name] = job.score()
        tally.seconds.append(time.monotonic() - began[job.name])
        return False
    if ended.process.returncode or command == ended.command:
        log = logs / f"{job.name}.log"
        tally.failed[job.name] = Failure(job.name, log, _last_words(log), ended.process.returncode)
        return False
    tally.active.append(_start(job, command, ended.worker, logs))
    return True


def _start(job: Job, command: Command, worker: Worker, logs: Path) -> Activity:
    # A variable that overrides the config would change arms behind the plan's back.
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("ECHO_LORA_")}
    with (logs / f"{job.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command.words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**inherited, **worker.environment},
            start_new_session=True,  # Ctrl-C reaches this process alone, which then tells each child once
            preexec_fn=_die_with_parent,
        )
    return Activity(job, worker, command, process, time.monotonic())


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _stop(active: Sequence[Activity]) -> None:
    for activity in active:
        activity.process.terminate()
    deadline = time.monotonic() + _GRACE
    for activity in active:
        try:
            activity.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            activity.process.kill()
            activity.process.wait()


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-6:])
