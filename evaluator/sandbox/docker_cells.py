"""Cells on this host's container engine, started through the docker SDK and gone with the evaluator."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from evaluator.sandbox.cells import Cell
from schemas.errors import UserError

CONTEXT = Path(__file__).parent / "cell"
DEFAULT_BASE = "python:3.11-slim-bookworm"
CONFINEMENT: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "user": "10002:10002",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "pids_limit": 64,
    "mem_limit": "512m",
    "memswap_limit": "512m",
    "nano_cpus": 1_000_000_000,
    "ipc_mode": "none",
    "tmpfs": {"/tmp": "size=16m,nr_inodes=1024,mode=1777,nosuid,nodev,noexec"},  # noqa: S108
    "log_config": {"type": "none"},
    "hostname": "cell",
}
HEADER = 8  # bytes before each piece of a container's output: which stream, and how long


class DockerCells:
    """Cells as containers of the local engine.

    Args:
        base: image with Python 3.11 or newer to build the sandbox image on; else $BASE_IMAGE, else the public one.
        runtime: an engine runtime such as gVisor's `runsc`; else $SANDBOX_RUNTIME, else the engine's default.
    """

    def __init__(self, *, base: str | None = None, runtime: str | None = None) -> None:
        self._base = base or os.environ.get("BASE_IMAGE") or DEFAULT_BASE
        self._runtime = runtime or os.environ.get("SANDBOX_RUNTIME") or None
        self._cells: list[Cell] = []

    def __enter__(self) -> Self:
        """Connects to the engine and builds the image where this version of it is missing."""
        try:
            self._engine = docker.from_env()
            self._engine.ping()
        except DockerException as error:
            raise UserError(
                "generated programs run only where they are isolated, and no container engine answers here",
                where=os.environ.get("DOCKER_HOST", "the default Docker socket"),
                fix="install Docker Engine and start it, or score in containers, where the `sandbox` service isolates: "
                "docker compose run --rm --no-deps evaluator ...",
            ) from error
        self._image = self._built_image()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends every container and waits until it is gone."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(Cell.close, self._cells))
        self._engine.close()

    def cells(self, count: int) -> list[Cell]:
        """`count` idle cells; missing ones are started side by side."""
        self._cells = [cell for cell in self._cells if not cell.lost]
        with ThreadPoolExecutor(max_workers=4) as pool:
            self._cells += pool.map(lambda _: self._start(), range(count - len(self._cells)))
        return self._cells[:count]

    def _start(self) -> Cell:
        try:
            container = self._engine.containers.create(
                self._image, stdin_open=True, auto_remove=True, runtime=self._runtime, **CONFINEMENT
            )
            stream = DockerStream(container)
        except DockerException as error:
            raise UserError(f"a sandbox container does not start: {error}", where=self._image) from error
        return Cell(stream)

    def _built_image(self) -> str:
        digest = hashlib.sha256(self._base.encode())
        for path in sorted(CONTEXT.glob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
        tag = f"echo-lora/sandbox:{digest.hexdigest()[:12]}"
        try:
            self._engine.images.get(tag)
        except ImageNotFound:
            self._build(tag)
        return tag

    def _build(self, tag: str) -> None:
        try:
            self._engine.images.build(path=str(CONTEXT), tag=tag, buildargs={"BASE_IMAGE": self._base}, rm=True)
        except (BuildError, APIError) as error:
            raise UserError(
                f"the sandbox image cannot be built: {error}",
                where=CONTEXT / "Dockerfile",
                fix="set BASE_IMAGE to an image with Python 3.11 or newer that this engine has or can pull",
            ) from error


class DockerStream:
    """A container's standard input and output, attached before it starts. When it closes, the container ends."""

    def __init__(self, container: Any) -> None:
        self._container = container
        attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        self._attached = attached  # closes the connection when it is collected
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._raw = b""
        container.start()

    def send(self, data: bytes, seconds: float) -> None:
        """Sends everything."""
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        """The next piece of the container's output."""
        self._socket.settimeout(seconds)
        while len(self._raw) < HEADER or len(self._raw) < HEADER + int.from_bytes(self._raw[4:HEADER], "big"):
            received = self._socket.recv(2**16)
            if not received:
                return b""
            self._raw += received
        end = HEADER + int.from_bytes(self._raw[4:HEADER], "big")
        piece, self._raw = self._raw[HEADER:end], self._raw[end:]
        return piece

    def close(self) -> None:
        """Kills the container and waits for the engine to remove it."""
        with contextlib.suppress(DockerException, OSError):  # it has ended by itself
            self._container.kill()
        with contextlib.suppress(DockerException, OSError):
            self._container.wait(condition="removed", timeout=10)
        self._attached.close()
        self._socket.close()
