"""A container's standard input and output as one stream, and the end of the container with it."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from docker.errors import APIError, DockerException, NotFound

from schemas.errors import UserError

HEADER = 8  # bytes before each piece of a container's output: which stream, and how long
GONE_SECONDS = 60.0


class DockerStream:
    """A container's input and output, attached before it starts.

    The engine closes the input when this connection ends, however it ends, and the container's first process ends then.
    """

    def __init__(self, container: Any) -> None:
        self._container = container
        attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        self._attached = attached  # closes the connection when it is collected
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._raw = bytearray()
        self._closed = False
        container.start()

    def send(self, data: bytes, seconds: float) -> None:
        """Sends everything."""
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """The next piece of the container's output."""
        self._socket.settimeout(seconds)
        while len(self._raw) < HEADER or len(self._raw) < HEADER + int.from_bytes(self._raw[4:HEADER], "big"):
            received = self._socket.recv(2**18)
            if not received:
                return b""
            self._raw += received
        end = HEADER + int.from_bytes(self._raw[4:HEADER], "big")
        piece = bytes(self._raw[HEADER:end])
        del self._raw[:end]
        return piece

    def close(self) -> None:
        """Ends the container and returns when the engine has removed it. Raises UserError where it cannot."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + GONE_SECONDS
        while not self._removed():
            if time.monotonic() > deadline:
                raise UserError(
                    "the container engine cannot end a sandbox container", where=self._container.id, fix="restart it"
                )
            time.sleep(0.2)
        self._attached.close()
        self._socket.close()

    def _removed(self) -> bool:
        """Kills and removes; what an engine answers while it is busy with that is no error yet."""
        try:
            self._container.remove(force=True)
        except NotFound:
            return True
        except (APIError, DockerException, OSError):
            pass
        with contextlib.suppress(DockerException, OSError):
            self._container.wait(condition="removed", timeout=10)
        try:
            self._container.reload()
        except NotFound:
            return True
        except (DockerException, OSError):
            return False
        return False
