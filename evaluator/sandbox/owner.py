"""Whose a sandbox container is: a label, so that the containers of an evaluator that was killed can be told and removed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from docker.errors import DockerException

LABEL = "echo-lora.sandbox.owner"


def this_process() -> str:
    """This process, among all that ever ran: the machine's start, the process namespace, number and start."""
    return f"{_world()} {os.getpid()} {_start(os.getpid())}"


def remove_orphans(engine: Any) -> None:
    """Removes the containers of evaluators of this host that no longer run. They end by themselves, unless they hang."""
    for container in engine.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        if _is_orphan(container.labels[LABEL]):
            with contextlib.suppress(DockerException):  # it is going
                container.remove(force=True)


def _is_orphan(label: str) -> bool:
    world, _, process = label.partition(" ")
    number, _, start = process.partition(" ")
    return world == _world() and number.isdigit() and start != _start(int(number))


def _world() -> str:
    """The namespace in which process numbers mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip()}/{os.stat('/proc/self/ns/pid').st_ino}" if boot.exists() else "unknown"


def _start(process: int) -> str:
    """When a process started, in the kernel's ticks; empty where none has this number."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
