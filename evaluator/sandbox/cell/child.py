"""A process of the container that runs one order, asked and answered line by line under a deadline."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

LONGEST_LINE = 4 * 2**20  # bytes of one call or reply
TOO_LONG = "it took too long"
PROGRAM = "from cell.start import main; main()"


class Gone(Exception):
    """The child gave no answer: it ended, was killed, took too long or wrote too much."""


class Child:
    """A fresh interpreter, so that nothing of an earlier order is in its memory; it inherits its two pipes only."""

    def __init__(self) -> None:
        # argv and environment hold nothing of the evaluator's; LANG keeps text UTF-8.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-s", "-B", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to_child, self._from_child = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to_child, False)
        self._unread = b""

    def ask(self, line: bytes, deadline: float) -> bytes:
        """Sends a line and returns the next one of the child's. Raises Gone."""
        while line:
            self._wait(self._to_child, select.POLLOUT, deadline)
            try:
                line = line[os.write(self._to_child, line) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Gone(self._end()) from None
        while b"\n" not in self._unread:
            self._wait(self._from_child, select.POLLIN, deadline)
            received = os.read(self._from_child, 2**16)
            if not received:
                raise Gone(self._end())
            self._unread += received
            if len(self._unread) > LONGEST_LINE:
                raise Gone("it answered with too much output")
        reply, _, self._unread = self._unread.partition(b"\n")
        return reply + b"\n"

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(descriptor, event)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Gone(TOO_LONG)

    def _end(self) -> str:
        """Why the pipe closed, as far as it can be seen at once."""
        try:
            code = self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code == -signal.SIGXCPU:
            return TOO_LONG
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def close(self) -> None:
        """Closes the pipes; the supervisor kills and collects the processes."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
