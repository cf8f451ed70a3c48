"""The first moments of a process that a cell starts: descriptors, limits, then its role. It reads its order first."""

from __future__ import annotations

import builtins
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from .framing import HEADER, MESSAGE, frame

PACKAGES = "/usr/local/lib/sandbox"  # what the image has beside the standard library
ADDRESS_SPACE = 448 * 2**20  # bytes; below the container's memory limit, so that a greedy program gets a MemoryError
FILE_SIZE = 8 * 2**20  # bytes of one file
OPEN_FILES = 64

Receive = Callable[[], bytes]
"""The body of the next message; it ends the process where there is none."""
Send = Callable[[bytes, bytes], None]
"""Sends a message: kind, body."""


def main() -> None:
    """Runs the order on standard input, in its role."""
    orders, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)  # the program reads nothing and prints into nothing: only calls and values leave it
    os.dup2(null, 1)
    os.close(null)
    os.chdir("/tmp")  # noqa: S108  (the program's own size-limited tmpfs)

    def receive() -> bytes:
        return _read(orders, HEADER.unpack(_read(orders, HEADER.size))[1])

    def send(kind: bytes, body: bytes) -> None:
        data = memoryview(frame(kind, body))
        while data:
            data = data[os.write(replies, data) :]

    order = json.loads(receive())
    if order["role"] == "proof":
        _prove(order, send)
    else:
        _limit(order["cpu_seconds"])
        _as_python_starts()
        _role(order["role"])(order, receive, send)
    os._exit(0)  # no exit handler of the program's


def _read(descriptor: int, count: int) -> bytes:
    pieces = []
    while count:
        piece = os.read(descriptor, min(count, 2**20))
        if not piece:
            os._exit(0)  # nobody asks any more
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _role(name: str) -> Callable[[dict[str, Any], Receive, Send], None]:
    if name == "tests":
        from .judge import run_tests

        return run_tests
    from .program import run_program

    return run_program


def _prove(order: dict[str, Any], send: Send) -> None:
    from .confinement import program_gaps

    send(MESSAGE, json.dumps(program_gaps(order["own_namespaces"])).encode())


def _as_python_starts() -> None:
    """What a Python without -S would have: the image's packages, and the names that `site` adds."""
    sys.path.append(PACKAGES)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)


def _limit(cpu_seconds: float) -> None:
    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (
            resource.RLIMIT_CPU,
            max(1, round(cpu_seconds)) + 1,
        ),  # the cell counts the container's; this ends one that outran it
    ):
        resource.setrlimit(limit, (value, value))
