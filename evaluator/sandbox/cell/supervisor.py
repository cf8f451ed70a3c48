"""The first process of a sandbox container ("cell"): runs orders, each in namespaces of its own, and relays messages.

It judges nothing: the verdict is formed in another container. When its evaluator goes away it ends what runs, and where
the host gives a container no namespaces of its own, it runs one order only and ends itself, and with it everything inside.

    python -m cell.supervisor                    talks over standard input and output, and ends with them
    python -m cell.supervisor --connect SOCKET   calls the evaluator at a socket, again and again
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

from . import confinement
from .child import Child, Gone
from .framing import END, GONE, HELLO, MESSAGE, ORDER, BadFrame, Frames, frame
from .nursery import Nursery

RETRY_SECONDS = 0.2
ENGINE_PATIENCE = 10.5
"""Seconds that a container must have run for the engine to restart it at once; after shorter ones it waits, up to minutes."""


class EvaluatorGone(Exception):
    """The evaluator closed the connection."""


class Stopped(Exception):
    """The evaluator ended the order while its process worked."""


class Link:
    """The connection to the evaluator, as a descriptor to read and one to write."""

    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target
        self._frames = Frames()

    def send(self, kind: bytes, body: bytes = b"") -> None:
        """Sends a message. Raises EvaluatorGone."""
        data = memoryview(frame(kind, body))
        try:
            while data:
                data = data[os.write(self._target, data) :]
        except OSError:
            raise EvaluatorGone from None

    def receive(self) -> tuple[bytes, bytes]:
        """The next message. Raises EvaluatorGone."""
        while not (message := self._frames.take()):
            self._read()
        return message

    def look(self) -> None:
        """Raises Stopped or EvaluatorGone, if that has arrived; does not wait."""
        poller = select.poll()
        poller.register(self._source, select.POLLIN)
        while poller.poll(0):
            self._read()
        if message := self._frames.take():
            assert message[0] == END
            raise Stopped

    def _read(self) -> None:
        try:
            received = os.read(self._source, 2**20)
        except OSError:
            raise EvaluatorGone from None
        if not received:
            raise EvaluatorGone
        self._frames.feed(received)


def main(arguments: list[str]) -> None:
    """Proves the confinement, then serves evaluators; returns where this container must not go on."""
    confinement.become_untouchable()
    gaps, nursery, own_namespaces = confinement.gaps(), Nursery(), False
    if not gaps:
        own_namespaces, gaps = _proof(nursery)
    hello = {"gaps": gaps, "reusable": own_namespaces}
    if not arguments:
        serve(Link(0, 1), hello, nursery)
        return
    path, started, going_on = arguments[1], time.monotonic(), True
    while going_on:
        with _connected(path) as connection:
            key = {"key": Path(path).with_name("key").read_text()}
            going_on = serve(Link(connection.fileno(), connection.fileno()), {**hello, **key}, nursery)
    time.sleep(max(0.0, started + ENGINE_PATIENCE - time.monotonic()))


def _proof(nursery: Nursery) -> tuple[bool, list[str]]:
    """Whether orders get namespaces of their own here, and what is missing of a program's confinement."""
    why = ""
    for own_namespaces in (True, False):
        child = Child(nursery, own_namespaces=own_namespaces, seconds=30, cpu_seconds=30, while_waiting=lambda: None)
        try:
            _, found = child.ask(ORDER, json.dumps({"role": "proof", "own_namespaces": own_namespaces}).encode())
            return own_namespaces, json.loads(found)
        except (Gone, RuntimeError) as reason:
            why = str(reason)
        finally:
            child.end()
    return False, [f"no process can be confined in it: {why}"]


def serve(link: Link, hello: dict[str, Any], nursery: Nursery) -> bool:
    """Runs the orders of one evaluator. Returns whether this container may serve another one."""
    own_namespaces: bool = hello["reusable"]
    try:
        link.send(HELLO, json.dumps(hello).encode())
        while True:
            _, order = link.receive()
            _serve_one(order, link, nursery, own_namespaces)
            link.send(END)
            if not own_namespaces:
                return False
    except EvaluatorGone:
        return own_namespaces


def _serve_one(order: bytes, link: Link, nursery: Nursery, own_namespaces: bool) -> None:
    limits = json.loads(order)
    child = Child(
        nursery,
        own_namespaces=own_namespaces,
        seconds=limits["seconds"],
        cpu_seconds=limits["cpu_seconds"],
        while_waiting=link.look,
    )
    try:
        kind, body = ORDER, order
        while True:
            link.send(*child.ask(kind, body))
            kind, body = link.receive()
            if kind != MESSAGE:
                return
    except Gone as reason:
        link.send(GONE, str(reason).encode())
        while link.receive()[0] != END:
            pass
    except Stopped:
        pass
    finally:
        child.end()


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
    except (RuntimeError, BadFrame, OSError, ValueError):
        os._exit(1)  # whatever it was, this container is not trusted again
