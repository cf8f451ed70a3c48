"""A process of the cell that runs one order, asked and answered message by message, under limits of time.

Everything that it starts counts: the processor time is the container's, read from its control group.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import namespaces, syscalls
from .framing import FROM_A_PROCESS, BadFrame, Frames, frame

TOO_LONG = "it took too long"
PROGRAM = "from cell.start import main; main()"
ENVIRONMENT = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}  # nothing of the evaluator's
NOT_CONFINED = "it could not be confined"
_NOT_CONFINED_CODE = 71  # EX_OSERR: the process was never as confined as it must be, and ran nothing
TICK_SECONDS = 0.05


class Gone(Exception):
    """The process gave no answer: it ended, was killed, took too long or wrote what is no message."""


class Child:
    """A fresh interpreter in fresh namespaces, so that nothing of an earlier order is in its memory or around it.

    Args:
        own_namespaces: whether it gets some; without them, the container must end with it.
        seconds: by the clock, for all of it.
        cpu_seconds: of the whole container, for all of it.
        while_waiting: called several times a second while the process works.
    """

    def __init__(
        self, *, own_namespaces: bool, seconds: float, cpu_seconds: float, while_waiting: Callable[[], None]
    ) -> None:
        self._deadline, self._cpu_deadline = time.monotonic() + seconds, processor_seconds() + cpu_seconds
        self._while_waiting = while_waiting
        self._frames = Frames()
        order_end, self._to_child = os.pipe()
        self._from_child, reply_end = os.pipe()
        self._first = os.fork()
        if not self._first:
            _become(order_end, reply_end, own_namespaces)
        self._own_namespaces = own_namespaces
        os.close(order_end)
        os.close(reply_end)
        os.set_blocking(self._to_child, False)

    def ask(self, kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Sends a message and returns the process's next one. Raises Gone."""
        data = memoryview(frame(kind, body))
        while data:
            self._wait(self._to_child, select.POLLOUT)
            try:
                data = data[os.write(self._to_child, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Gone(self._end()) from None
        try:
            while not (answer := self._frames.take()):
                self._wait(self._from_child, select.POLLIN)
                received = os.read(self._from_child, 2**20)
                if not received:
                    raise Gone(self._end())
                self._frames.feed(received)
        except BadFrame:
            raise Gone("it answered with too much output") from None
        if answer[0] not in FROM_A_PROCESS:
            raise Gone("it answered with what is no message")
        return answer

    def _wait(self, descriptor: int, event: int) -> None:
        poller = select.poll()
        poller.register(descriptor, event)
        while not poller.poll(TICK_SECONDS * 1000):
            self._while_waiting()
            if time.monotonic() > self._deadline:
                raise Gone(TOO_LONG)
            if processor_seconds() > self._cpu_deadline:
                raise Gone(TOO_LONG)
        if processor_seconds() > self._cpu_deadline:
            raise Gone(TOO_LONG)

    def _end(self) -> str:
        """Why the pipe closed, as far as it can be seen at once."""
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                process, status = os.waitpid(-1, os.WNOHANG)
                if process and (process == self._first) != self._own_namespaces:
                    return _described(os.waitstatus_to_exitcode(status))
                if process == self._first and status:  # it never got into its namespaces
                    return _described(os.waitstatus_to_exitcode(status))
            time.sleep(0.002)
        return "it closed its pipe"

    def end(self) -> None:
        """Kills every process of the container but this one, and returns when the kernel says that there are none.

        Raises RuntimeError where one is left all the same; the container must end then.
        """
        os.close(self._to_child)
        os.close(self._from_child)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:  # a namespace's process 1 is collected after all others of the namespace
                os.waitpid(-1, 0)
        if [name for name in os.listdir("/proc") if name.isdigit()] != ["1"]:
            raise RuntimeError("a process is left")


def _described(code: int) -> str:
    if code == _NOT_CONFINED_CODE:
        return NOT_CONFINED
    if code == -signal.SIGXCPU:
        return TOO_LONG
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"


def _become(orders: int, replies: int, own_namespaces: bool) -> None:
    """The forked process: its two pipes and no other descriptor, its namespaces, its filter, then a new interpreter."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for source, target in ((orders, 0), (replies, 1), (null, 2)):
            os.dup2(source, target)
        os.closerange(3, 4096)
        os.setsid()
        if own_namespaces:
            namespaces.enter()
        syscalls.lose()
        os.execve(sys.executable, [sys.executable, "-S", "-E", "-s", "-B", "-c", PROGRAM], ENVIRONMENT)  # noqa: S606
    finally:
        os._exit(_NOT_CONFINED_CODE)


_USAGE = (
    (Path("/sys/fs/cgroup/cpuacct/cpuacct.usage"), 1e9),
    (Path("/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage"), 1e9),
)


def processor_seconds() -> float:
    """Processor time of this container since it started. Raises OSError where its control group does not say."""
    for path, units in _USAGE:
        with contextlib.suppress(FileNotFoundError):
            return int(path.read_bytes()) / units
    for line in Path("/sys/fs/cgroup/cpu.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value) / 1e6
    raise FileNotFoundError("cpu.stat")
