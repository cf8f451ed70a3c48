"""Suite files for tests, with their data beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.storage.yaml_files import to_yaml

ROWS = [
    {"city": "Paris", "country": "France", "people": 2, "topic": "west", "also": ["paname", "Paris."]},
    {"city": "Rome", "country": "Italy", "people": 3, "topic": "south", "also": ["Roma"]},
    {"city": "Oslo", "country": "Norway", "people": 1, "topic": "west", "also": []},
]
TASK: dict[str, Any] = {"data": "rows.jsonl", "prompt": "Capital of {{ country }}?", "target": "{{ city }}"}


def write_rows(directory: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    """One JSON object a line."""
    path = directory / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_suite(directory: Path, **tasks: dict[str, Any] | None) -> Path:
    """A suite file called `mine`, and its rows where there are none yet; a task's keys change those of TASK."""
    if not (directory / "rows.jsonl").exists():
        write_rows(directory, ROWS)
    whole = {name: keys if keys and "lm_eval" in keys else {**TASK, **(keys or {})} for name, keys in tasks.items()}
    path = directory / "suite.yaml"
    path.write_text(to_yaml({"schema_version": "1", "name": "mine", "description": "capitals", "tasks": whole}))
    return path
