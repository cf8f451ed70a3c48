"""The one fact the supervisor and vLLM's process share: whether requests may pass.

The supervisor writes it after each check; the gateway inside vLLM's process reads it when the file has changed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from schemas.document import Section, write_atomically

State = Literal["starting", "ready", "unhealthy", "draining"]


class Readiness(Section):
    """Whether the attested adapters answer."""

    state: State
    """`ready` lets requests pass; every other state answers 503."""
    reason: str
    """Why not, for people; what was checked, where ready."""
    models: tuple[str, ...] = ()
    """Attested adapters."""
    checked: float
    """Unix time of the check."""
    stale_after: float = float(2**53)
    """Seconds after which a check no longer counts: a supervisor that hangs must not look healthy."""

    def is_ready(self) -> bool:
        """Whether requests may pass now."""
        return self.state == "ready" and time.time() - self.checked < self.stale_after


class ReadinessFile:
    """Writer and cheap reader of the shared fact."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._last = Readiness(state="starting", reason="not attested yet", checked=0.0)

    def write(self, state: State, reason: str, *, models: tuple[str, ...] = (), stale_after: float = 2.0**53) -> None:
        """Replaces the fact as a whole."""
        fact = Readiness(state=state, reason=reason, models=models, checked=time.time(), stale_after=stale_after)
        write_atomically(self.path, fact.model_dump_json().encode())

    def read(self) -> Readiness:
        """The latest fact; parses only what changed. Anything that cannot be read counts as unhealthy."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._last = Readiness.model_validate_json(self.path.read_bytes())
                self._stamp = stamp
        except (OSError, ValidationError) as error:
            self._stamp = None
            self._last = Readiness(state="unhealthy", reason=f"no readiness file: {type(error).__name__}", checked=0.0)
        return self._last
