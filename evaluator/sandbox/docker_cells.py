"""Cells on this host's container engine, started through the docker SDK and gone with the evaluator."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import DockerException

from evaluator.sandbox import image, owner
from evaluator.sandbox.cells import Cell, CellLost
from evaluator.sandbox.docker_stream import DockerStream
from schemas.errors import UserError

SECCOMP = Path(__file__).parent / "seccomp.json"
CONFINEMENT: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "user": "10002:10002",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true", f"seccomp={SECCOMP.read_text()}"],
    "pids_limit": 64,
    "mem_limit": "768m",
    "memswap_limit": "768m",
    "nano_cpus": 1_000_000_000,
    "ipc_mode": "none",
    "tmpfs": {"/tmp": "size=16m,nr_inodes=1024,mode=1777,nosuid,nodev,noexec"},  # noqa: S108
    "log_config": {"type": "none"},
    "hostname": "cell",
}
SPARE = 2  # cells beyond those at work, so that one that was used up is replaced before it is missed
STARTS = 3  # of a container that ends before it says a word, as may happen on a machine that is out of everything


class DockerCells:
    """Cells as containers of the local engine, each started before it is needed.

    Where the host lets a container make namespaces, each order runs in fresh ones and the container goes on; elsewhere
    a container runs one order and is replaced.

    Args:
        base: image with Python 3.11 or newer to build the sandbox image on; else $BASE_IMAGE, else the public one.
        runtime: an engine runtime such as gVisor's `runsc`; else $SANDBOX_RUNTIME, else the engine's default.
    """

    def __init__(self, *, base: str | None = None, runtime: str | None = None) -> None:
        self._base = base or os.environ.get("BASE_IMAGE") or image.DEFAULT_BASE
        self._runtime = runtime or os.environ.get("SANDBOX_RUNTIME") or None
        self._ready: queue.Queue[Cell | BaseException] = queue.Queue()
        self._alive: set[Cell] = set()
        self._wanted = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Connects to the engine, removes what dead evaluators left, and builds the image where it is missing."""
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
        owner.remove_orphans(self._engine)
        self._image = image.built(self._engine, self._base)
        self._starter = ThreadPoolExecutor(max_workers=4, thread_name_prefix="cells")
        return self

    def __exit__(self, *error: object) -> None:
        """Ends every container and waits until it is gone. Raises UserError where the engine cannot end one."""
        self._starter.shutdown(cancel_futures=True)
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(Cell.close, self._alive))
        self._engine.close()

    def prepare(self, count: int) -> None:
        """Begins to start cells until `count` and a few spare ones exist."""
        with self._lock:
            missing = count + SPARE - self._wanted
            self._wanted += max(0, missing)
        for _ in range(missing):
            self._starter.submit(self._start)

    @contextlib.contextmanager
    def pair(self) -> Iterator[tuple[Cell, Cell]]:
        """Two cells; afterwards each is kept or replaced."""
        first, second = self._take(), self._take()
        try:
            yield first, second
        finally:
            for cell in (first, second):
                self._give_back(cell)

    def _take(self) -> Cell:
        made = self._ready.get()
        if isinstance(made, BaseException):
            self._ready.put(made)  # for whoever waits too
            raise made
        return made

    def _give_back(self, cell: Cell) -> None:
        if cell.fit:
            self._ready.put(cell)
            return
        with contextlib.suppress(RuntimeError):  # the pool is being closed
            self._starter.submit(self._replace, cell)

    def _replace(self, cell: Cell) -> None:
        self._start()
        cell.close()
        with self._lock:
            self._alive.discard(cell)

    def _start(self) -> None:
        try:
            cell = self._started()
        except BaseException as error:  # raised where a cell is taken
            self._ready.put(error)
            return
        with self._lock:
            self._alive.add(cell)
        self._ready.put(cell)

    def _started(self) -> Cell:
        for _ in range(STARTS):
            try:
                return Cell(self._stream())
            except CellLost as loss:
                why = str(loss)
        raise UserError(f"the sandbox's containers end before they can be used: {why}", where=self._image)

    def _stream(self) -> DockerStream:
        try:
            container = self._engine.containers.create(
                self._image,
                stdin_open=True,
                auto_remove=True,
                runtime=self._runtime,
                labels={owner.LABEL: owner.this_process()},
                **CONFINEMENT,
            )
            return DockerStream(container)
        except DockerException as error:
            raise UserError(f"a sandbox container does not start: {error}", where=self._image) from error
