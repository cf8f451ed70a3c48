"""Every answer a model gave, kept as soon as it is given: an evaluation killed at any point goes on where it stopped.

One append-only file per (backend, base, adapter); one line per request. A request's key hashes the prompt's bytes and the
generation settings, so a changed template cannot meet an old answer, and two tasks that ask the same share theirs. What is
sampled belongs to its task.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

Answer = str | tuple[float, bool]
"""Generated text, or the log-likelihood of a continuation and whether greedy decoding gives it."""


class ResponseStore:
    """The answers in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers = _read(path)

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer kept under a key; None where there is none."""
        return self._answers.get(key)

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Appends and hands over to the system at once; a line torn by a crash is skipped when the file is read."""
        lines = "".join(json.dumps({"key": key, "answer": answer}) + "\n" for key, answer in answers.items())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.path.open("ab") as file:
                # The leading newline closes a line that an earlier crash left open.
                file.write(("\n" + lines).encode())
        except OSError as error:
            error.filename = str(self.path)  # a failed write does not name its file
            raise
        self._answers.update(answers)


def _read(path: Path) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    if not path.is_file():
        return answers
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            answer = entry["answer"]
            read = answer if isinstance(answer, str) else (float(answer[0]), bool(answer[1]))
            if isinstance(entry["key"], str) and (isinstance(read, str) or math.isfinite(read[0])):
                answers[entry["key"]] = read
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
            continue  # empty, torn, or of somebody else
    return answers


def request_key(task: str, kind: str, arguments: tuple[object, ...], attempt: int) -> str:
    """Hash of one request; `attempt` tells sampled answers to the same prompt apart."""
    text = json.dumps([task, kind, *arguments, attempt], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
