"""A process of the cell that runs one order, asked and answered message by message, under limits of time.

Everything that it starts counts: the processor time is the container's, read from its control group.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .framing import FROM_A_PROCESS, NOT_CONFINED, BadFrame, Frames, frame
from .nursery import Nursery

TOO_LONG = "it took too long"
TICK_SECONDS = 0.05
KILL_SECONDS = 8.0


class Gone(Exception):
    """The process gave no answer: it ended, was killed, took too long or wrote what is no message."""


class Child:
    """A process with nothing of an earlier order in its memory, in namespaces with nothing of it around.

    Args:
        nursery: where it comes from.
        own_namespaces: whether it gets some; without them, the container must end with it.
        seconds: by the clock, for all of it.
        cpu_seconds: of the whole container, for all of it.
        while_waiting: called several times a second while the process works.
    """

    def __init__(
        self,
        nursery: Nursery,
        *,
        own_namespaces: bool,
        seconds: float,
        cpu_seconds: float,
        while_waiting: Callable[[], None],
    ) -> None:
        self._deadline, self._cpu_deadline = time.monotonic() + seconds, processor_seconds() + cpu_seconds
        self._while_waiting = while_waiting
        self._frames = Frames()
        order_end, self._to_child = os.pipe()
        self._from_child, reply_end = os.pipe()
        self._nursery = nursery
        nursery.start(order_end, reply_end, own_namespaces=own_namespaces)
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
        if answer[0] == NOT_CONFINED:
            raise RuntimeError("a process could not be confined")
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
                if process not in (0, self._nursery.process):
                    return _described(os.waitstatus_to_exitcode(status))
            time.sleep(0.002)
        return "it closed its pipe"

    def end(self) -> None:
        """Kills the process and all that it started; returns when the kernel says that there are none.

        Namespaces end with their process 1, whatever the rest does. Without them the container's end is what counts.

        Raises RuntimeError where one is left all the same; the container must end then.
        """
        os.close(self._to_child)
        os.close(self._from_child)
        deadline = time.monotonic() + KILL_SECONDS
        while others := _processes() - {1, self._nursery.process}:
            if time.monotonic() > deadline:
                raise RuntimeError("a process is left")
            for process in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.0005)


def _processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _described(code: int) -> str:
    if code == -signal.SIGXCPU:
        return TOO_LONG
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"


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
