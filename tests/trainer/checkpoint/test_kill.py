from __future__ import annotations

from pathlib import Path
from types import ModuleType

from schemas.training.train_config import TrainConfig


def test_runs_killed_while_writing_and_while_resuming_end_in_the_undisturbed_bytes(
    tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType, kill_fuzz: ModuleType
) -> None:
    """A few of the points; `python tests/trainer/kill_fuzz.py` takes as many as one likes."""

    def make_config(directory: Path, method: str) -> TrainConfig:
        config: TrainConfig = training_runs.make_config(
            directory, tiny_base, records[:20], method=method, **kill_fuzz.SHORT
        )
        return config

    report = kill_fuzz.fuzz(make_config, points=4, seed=1)
    assert report["kills"] >= 4
