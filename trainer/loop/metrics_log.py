"""metrics.jsonl: one line per logged step; a resumed run goes on where its checkpoint was."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.document import write_atomically
from schemas.storage.files import append_line
from schemas.training.training_metrics import TrainingMetrics


class MetricsLog:
    """Appends lines; lines of steps that a resumed run will take again are removed at the start.

    Args:
        path: the file.
        step: the step that the run begins after.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step] if step else []
        write_atomically(path, "".join(line + "\n" for line in kept).encode())

    def append(self, metrics: TrainingMetrics) -> None:
        """Adds one line."""
        append_line(self._path, metrics.model_dump_json(exclude_none=True))


def _step_of(line: str) -> float:
    """The line's step; infinity where a killed process left half a line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
