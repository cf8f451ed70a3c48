"""Turns Ctrl-C and SIGTERM into a request that the training loop grants at the end of its optimizer step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from schemas.errors import INTERRUPTED, TERMINATED


class StopRequest:
    """Context manager that catches SIGINT and SIGTERM. A second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._previous[signum] = signal.signal(signum, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.exit_code is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.exit_code = INTERRUPTED if signum == signal.SIGINT else TERMINATED
