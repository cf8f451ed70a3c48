"""The first process of a sandbox container ("cell"): runs one order after the other and cleans up between them.

It relays lines and judges nothing: the verdict is formed in another container. From the evaluator come `+LINE` (for the
child) and `.` (end of this order); to it go `+LINE` (the child's), `-REASON` (the child gave none) and `.` (clean).
Where a container cannot be made as it was, this process ends, and with it everything inside.

    python -m cell.supervisor                    talks over standard input and output
    python -m cell.supervisor --connect SOCKET   calls the evaluator at a socket, again and again
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import BinaryIO

from . import confinement, leftovers
from .child import LONGEST_LINE, Child, Gone
from .values import from_line

RETRY_SECONDS = 0.2


def main(arguments: list[str]) -> None:
    """Proves the confinement, then serves evaluators until the input ends."""
    confinement.become_untouchable()
    hello = json.dumps({"gaps": confinement.gaps()}).encode() + b"\n"
    if not arguments:
        serve(sys.stdin.buffer, sys.stdout.buffer, hello)
        return
    while True:
        with _connected(arguments[1]) as connection:
            serve(connection.makefile("rb"), connection.makefile("wb"), hello)


def serve(orders: BinaryIO, replies: BinaryIO, hello: bytes) -> None:
    """Runs the orders of one evaluator."""
    settings = confinement.own_settings()
    _send(replies, hello)
    while line := orders.readline(LONGEST_LINE):
        _serve_one(line[1:], orders, replies)
        leftovers.kill_everything()
        leftovers.empty_temporary_files()
        if leftovers.found() or confinement.own_settings() != settings:
            sys.exit(1)
        _send(replies, b".\n")


def _serve_one(line: bytes, orders: BinaryIO, replies: BinaryIO) -> None:
    deadline = time.monotonic() + from_line(line)["seconds"]
    child = Child()
    try:
        while True:
            _send(replies, b"+" + child.ask(line, deadline))
            line = orders.readline(LONGEST_LINE)
            if not line.startswith(b"+"):
                return
            line = line[1:]
    except Gone as reason:
        _send(replies, f"-{reason}\n".encode())
        orders.readline(LONGEST_LINE)  # the end of this order
    finally:
        child.close()


def _send(replies: BinaryIO, line: bytes) -> None:
    replies.write(line)
    replies.flush()


def _connected(path: str) -> socket.socket:
    """A connection to the next evaluator that opens `path`."""
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
            time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (BrokenPipeError, ConnectionError):
        os._exit(0)  # the evaluator is gone
