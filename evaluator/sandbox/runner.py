"""Judges many programs, several at a time, each in containers that are as fresh for it as for the first."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from evaluator.sandbox.cells import Cell, CellLost, CellPool
from evaluator.sandbox.judging import judge
from evaluator.sandbox.program import Program, ProgramResult, refuse_oversized
from schemas.errors import UserError

TIMEOUT = 3.0
"""Processor seconds of one program; the original HumanEval checker allows 3 seconds of wall time."""
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
    batch = _Batch(programs, on_result, timeout=timeout, wall_timeout=wall_timeout)
    with nullcontext(pool) if pool else default_pool() as cells:
        while batch.waiting:
            batch.run_round(cells.cells(2 * min(parallel, len(batch.waiting))))
    return [batch.results[index] for index in range(len(programs))]


def default_pool() -> CellPool:
    """Compose's sandbox service where this runs beside it, else this host's engine."""
    if directory := os.environ.get(SANDBOX_DIRECTORY):
        from evaluator.sandbox.socket_cells import SocketCells

        return SocketCells(Path(directory))
    from evaluator.sandbox.docker_cells import DockerCells

    return DockerCells()


class _Batch:
    """The programs of one call: those that wait, and the results so far.

    A round goes on until no program waits or a container is lost. Lost ones are replaced between rounds, when no
    program runs: compose's cells call a socket that no program may find.
    """

    def __init__(
        self, programs: Sequence[Program], on_result: Callable[[ProgramResult], None] | None, **limits: float
    ) -> None:
        self.programs, self._on_result, self._limits = programs, on_result, limits
        self.waiting = deque(range(len(programs)))
        self.results: dict[int, ProgramResult] = {}
        self._losses: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._round_over = threading.Event()

    def run_round(self, cells: Sequence[Cell]) -> None:
        """Judges with these cells, two for each worker."""
        self._round_over.clear()
        pairs = list(zip(cells[::2], cells[1::2], strict=False))
        with ThreadPoolExecutor(max_workers=len(pairs)) as pool:
            workers = [pool.submit(self._work, *pair) for pair in pairs]
            try:
                for worker in workers:
                    worker.result()
            finally:  # Ctrl-C: each worker stops after its program, seconds later
                self._round_over.set()

    def _work(self, program_cell: Cell, test_cell: Cell) -> None:
        try:
            while not self._round_over.is_set():
                with self._lock:
                    if not self.waiting:
                        return
                    index = self.waiting.popleft()
                try:
                    self._record(index, judge(self.programs[index], program_cell, test_cell, **self._limits))
                except CellLost as loss:
                    program_cell.discard()
                    test_cell.discard()
                    self._round_over.set()
                    self._lost(index, str(loss))
        except BaseException:
            self._round_over.set()
            raise

    def _lost(self, index: int, why: str) -> None:
        """Once may be the machine's fault, and the program runs again; twice is the program's."""
        self._losses[index] += 1
        if self._losses[index] > 1:
            self._record(
                index, ProgramResult(self.programs[index].name, "failed", f"its container was lost: {why}", 0.0)
            )
        else:
            with self._lock:
                self.waiting.append(index)

    def _record(self, index: int, result: ProgramResult) -> None:
        with self._lock:
            self.results[index] = result
            if self._on_result:
                self._on_result(result)
