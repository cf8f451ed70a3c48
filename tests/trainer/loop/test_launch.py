"""What launching refuses, and how one process's decision reaches all."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate import Accelerator

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from trainer.loop.launch import decided_by_first, flat, launch


def test_a_tracker_that_is_not_installed_is_named(objectives: ModuleType, tmp_path: Path) -> None:
    config = objectives.train_config(training={"report_to": ["nonsense"]})
    with pytest.raises(UserError, match="names nonsense"):
        launch(config, RunDirectory(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(objectives: ModuleType, tmp_path: Path) -> None:
    config = objectives.train_config(training={"report_to": [], "device": "cuda"})
    with pytest.raises(UserError, match="torch sees no GPU"):
        launch(config, RunDirectory(tmp_path))


def test_a_decision_and_a_refusal_both_arrive() -> None:
    accelerator = Accelerator(cpu=True)
    assert decided_by_first(accelerator, lambda: 7) == 7

    def refuse() -> int:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        decided_by_first(accelerator, refuse)


def test_trackers_are_shown_plain_values_under_dotted_keys() -> None:
    assert flat({"a": {"b": 1, "c": None}, "d": [1, 2]}) == [("a.b", 1), ("a.c", "None"), ("d", "[1, 2]")]
