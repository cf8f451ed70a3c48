"""metrics.jsonl goes on where a checkpoint was: what will be taken again is not there twice."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.training.training_metrics import TrainingMetrics
from trainer.loop.metrics_log import MetricsLog


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def written(path: Path, *steps: int, after: int = 0) -> None:
    log = MetricsLog(path, after)
    for step in steps:
        log.append(TrainingMetrics(step=step, epoch=step / 10, loss=1.0, seconds=1.0))


def test_a_resumed_run_takes_its_later_lines_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 2, 4, 6)
    written(path, 6, 8, after=4)
    assert steps(path) == [2, 4, 6, 8]


def test_a_new_run_begins_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 2, 4)
    written(path, 2)
    assert steps(path) == [2]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    written(path, 2)
    with path.open("a") as file:
        file.write('{"step": 3, "ep')
    written(path, 4, after=3)
    assert steps(path) == [2, 4]
