"""Where the processes of orders come from: forks of one that has loaded everything and never saw an order.

A new interpreter for each order would cost more than all its isolation. A fork of the supervisor would carry what earlier
orders left in its memory; this process was forked off before the first.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import types

from . import judge, namespaces, program, start, syscalls
from .framing import NOT_CONFINED, frame

ENVIRONMENT = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}  # nothing of the container's


class Nursery:
    """The process that forks, as the supervisor sees it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = os.fork()
        if not self.process:
            ours.close()
            _serve(theirs)
        theirs.close()
        self._socket = ours

    def start(self, orders: int, replies: int, *, own_namespaces: bool) -> None:
        """Starts the process of an order with these pipes as its input and output. Raises OSError."""
        socket.send_fds(self._socket, [bytes([own_namespaces])], [orders, replies])


def _serve(requests: socket.socket) -> None:
    assert judge, program  # loaded, for the forks
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what it forks becomes a child of the container's first process
    gc.freeze()
    while True:
        message, pipes, _, _ = socket.recv_fds(requests, 1, 2)
        if not message:
            os._exit(0)
        if not os.fork():
            _become(*pipes, own_namespaces=bool(message[0]))
        for pipe in pipes:
            os.close(pipe)


def _become(orders: int, replies: int, *, own_namespaces: bool) -> None:
    """A fork: its two pipes and no other descriptor, its namespaces, its filter, then its order."""
    try:
        os.dup2(orders, 0)
        os.dup2(replies, 1)
        os.dup2(os.open(os.devnull, os.O_RDWR), 2)
        os.closerange(3, 4096)
        os.setsid()
        namespaces.become_visible()
        if own_namespaces:
            namespaces.enter()
        elif os.fork():
            os._exit(0)
        syscalls.lose()
        _look_new()
    except BaseException:
        os.write(1, frame(NOT_CONFINED))
        os._exit(1)
    try:
        start.main()
    finally:
        os._exit(1)


def _look_new() -> None:
    """What a program may notice of a Python that has just started."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    sys.argv, sys.path[0] = ["-c"], ""
    sys.modules["__main__"] = types.ModuleType("__main__")
