"""The first moments of a process that a cell starts: descriptors, limits, then its role. It reads its order first."""

from __future__ import annotations

import os
import resource

from .judge import run_tests
from .program import run_program
from .values import from_line

ROLES = {"program": run_program, "tests": run_tests}

ADDRESS_SPACE = 384 * 2**20  # bytes; below the container's memory limit, so that a greedy program gets a MemoryError
FILE_SIZE = 8 * 2**20  # bytes of one file
OPEN_FILES = 64


def main() -> None:
    """Runs the order on standard input, in its role."""
    orders, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # the program reads nothing and prints into nothing: only calls and values leave it
    os.dup2(null, 1)
    os.chdir("/tmp")  # noqa: S108  (the container's own size-limited tmpfs)
    with os.fdopen(orders, "rb") as lines, os.fdopen(replies, "wb") as answers:

        def write_line(line: bytes) -> None:
            answers.write(line)
            answers.flush()

        order = from_line(lines.readline())
        _limit(order["cpu_seconds"])
        ROLES[order["role"]](order, lines.readline, write_line)
    os._exit(0)  # no exit handler of the program's


def _limit(cpu_seconds: int) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))  # SIGXCPU says why, SIGKILL makes sure
