"""Judges many programs, several at a time, each in two cells in which nothing runs and nothing is left."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from evaluator.sandbox.cells import CellLost, CellPool
from evaluator.sandbox.judging import judge
from evaluator.sandbox.program import Program, ProgramResult, refuse_oversized
from schemas.errors import UserError

TIMEOUT = 3.0
"""Processor seconds of one program and all that it starts; the original HumanEval checker allows 3 seconds of wall time."""
WALL_TIMEOUT = 30.0
"""Seconds until a program that waits or sleeps is given up: long, since a busy machine must not fail an honest one."""
SANDBOX_DIRECTORY = "SANDBOX_DIRECTORY"
"""Environment variable that names the volume shared with the cells of compose's `sandbox` service."""


def run_programs(
    programs: Sequence[Program],
    *,
    parallel: int = 4,
    timeout: float = TIMEOUT,
    wall_timeout: float = WALL_TIMEOUT,
    pool: CellPool | None = None,
    on_result: Callable[[ProgramResult], None] | None = None,
) -> list[ProgramResult]:
    """Judges generated programs by their tasks' own tests, isolated from this process and from each other.

    Args:
        programs: what to judge; names need not be unique (several samples of one task).
        parallel: programs at a time; each takes two containers, one for itself and one for its tests.
        timeout: processor seconds for one program.
        wall_timeout: seconds for one program by the clock.
        pool: an open pool of containers, which stays open; by default one is opened: compose's sandbox where
            $SANDBOX_DIRECTORY names it, else this host's container engine.
        on_result: called after each verdict, in the order of completion, from one thread at a time.

    Returns:
        One result per program, in their order.

    Raises:
        UserError: no isolating runtime, a program beyond all size, or a task whose own tests do not run.
    """
    if parallel < 1 or timeout <= 0 or wall_timeout <= 0:
        raise UserError(f"the sandbox needs parallel >= 1 and timeout > 0, not {parallel} and {timeout}")
    refuse_oversized(programs)
    if not programs:
        return []
    with nullcontext(pool) if pool else default_pool() as cells:
        workers = min(parallel, len(programs))
        cells.prepare(2 * workers)
        batch = _Batch(programs, cells, on_result, timeout=timeout, wall_timeout=wall_timeout)
        return batch.run(workers)


def default_pool() -> CellPool:
    """Compose's sandbox service where this runs beside it, else this host's engine."""
    if directory := os.environ.get(SANDBOX_DIRECTORY):
        from evaluator.sandbox.socket_cells import SocketCells

        return SocketCells(Path(directory))
    from evaluator.sandbox.docker_cells import DockerCells

    return DockerCells()


class _Batch:
    """The programs of one call: those that wait, and the results so far."""

    def __init__(
        self,
        programs: Sequence[Program],
        cells: CellPool,
        on_result: Callable[[ProgramResult], None] | None,
        **limits: float,
    ) -> None:
        self._programs, self._cells, self._on_result, self._limits = programs, cells, on_result, limits
        self._waiting = deque(range(len(programs)))
        self._results: dict[int, ProgramResult] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def run(self, workers: int) -> list[ProgramResult]:
        """Judges them all, so many at a time, and returns the results in the programs' order."""
        with ThreadPoolExecutor(max_workers=workers) as pool:
            running = [pool.submit(self._work) for _ in range(workers)]
            try:
                for worker in running:
                    worker.result()
            finally:  # Ctrl-C: each worker stops after its program, seconds later
                self._over.set()
        return [self._results[index] for index in range(len(self._programs))]

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                with self._lock:
                    if not self._waiting:
                        return
                    index = self._waiting.popleft()
                self._record(index, self._judged(self._programs[index]))
        except BaseException:
            self._over.set()
            raise

    def _judged(self, program: Program) -> ProgramResult:
        """One lost container may be the machine's fault, and the program runs again; two are the program's."""
        for _ in range(2):
            with self._cells.pair() as pair:
                try:
                    return judge(program, pair[0], pair[1], **self._limits)
                except CellLost as loss:
                    why = str(loss)
                    for cell in pair:
                        cell.close()
        return ProgramResult(program.name, "failed", f"its container was lost: {why}", 0.0)

    def _record(self, index: int, result: ProgramResult) -> None:
        with self._lock:
            self._results[index] = result
            if self._on_result:
                self._on_result(result)
