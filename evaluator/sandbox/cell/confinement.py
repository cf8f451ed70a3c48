"""Proof, from inside, that a container confines what runs in it. A supervisor that finds a gap runs nothing."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path

PR_SET_DUMPABLE = 4
UNLIMITED = 2**60  # the kernel's "no limit" is a page-rounded 2^63 in version 1 of control groups, "max" in version 2


def become_untouchable() -> None:
    """Closes this process to others of its own user: no ptrace, no /proc/1/mem, no /proc/1/environ, no signal.

    The first process of a container gets no signal from inside it that it has not asked for, not even SIGKILL; Python
    asks for SIGINT, so that is taken back.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def gaps() -> list[str]:
    """What is missing of the confinement, in words; empty where it is whole."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    checks = {
        "it is not the container's first process": os.getpid() == 1,
        "it runs as root": os.getuid() != 0 and os.geteuid() != 0,
        "it has capabilities": all(int(status[key], 16) == 0 for key in ("CapEff", "CapPrm", "CapInh", "CapBnd")),
        "it may gain privileges": status["NoNewPrivs"].strip() == "1",
        "no system call filter is on": status["Seccomp"].strip() == "2",
        "it has a network": interfaces == ["lo"],
        "its root file system is writable": _is_read_only("/"),
        "its processes are not limited": _group_limit("pids", "pids.max", "pids.max") < UNLIMITED,
        "its memory is not limited": _group_limit("memory", "memory.max", "memory.limit_in_bytes") < UNLIMITED,
        "the container engine's socket is in it": not any(
            map(os.path.exists, ("/var/run/docker.sock", "/run/docker.sock"))
        ),
    }
    return [gap for gap, closed in checks.items() if not closed]


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _group_limit(controller: str, name: str, old_name: str) -> float:
    """A limit of this control group, for both versions of control groups; infinite where none is found."""
    for path in (Path("/sys/fs/cgroup", name), Path("/sys/fs/cgroup", controller, old_name)):
        if path.exists():
            text = path.read_text().strip()
            return float("inf") if text == "max" else float(text)
    return float("inf")


def own_settings() -> tuple[object, ...]:
    """What a program of the same user could change about this process from outside: limits, priority, processors."""
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    limits = tuple(resource.getrlimit(getattr(resource, name)) for name in names)
    return limits, os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.sched_getaffinity(0)
