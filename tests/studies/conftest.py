"""What the studies' tests share with the trainer's, and a small study to plan."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import StudyProtocol
from tests.trainer.conftest import objectives, training_runs  # noqa: F401 fixtures

ARMS = {
    "lora": {"asks": "plain", "overrides": {"method": "lora"}},
    "echo": {"asks": "full", "overrides": {"method": "echo_lora"}},
    "alone": {"asks": "auxiliaries", "overrides": {"method": "echo_lora", "echo": {"content": "none"}}},
    "matched": {"asks": "compute", "overrides": {"method": "lora"}, "compute_matched_to": "echo"},
    "matched_twice": {
        "asks": "compute", "overrides": {"method": "lora"}, "compute_matched_to": "echo", "matched_as": "two_passes",
    },
}  # fmt: skip


@pytest.fixture
def make_study(tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType) -> Any:  # noqa: F811
    from studies.run.study_file import load_study

    def make(**changes: Any) -> StudyConfig:
        base = training_runs.write_config(tmp_path, tiny_base, records)
        data: dict[str, Any] = {
            "name": "small",
            "directory": str(tmp_path / "study"),
            "config": str(base),
            "bases": {"tiny": {}},
            "arms": ARMS,
            "seeds": [0, 1],
            "tuning": {"grid": [1e-3, 1e-2]},
            "evaluation": {"suite": "quickstart"},
            "analysis": {"contrasts": {"gain": {"candidate": "echo", "baseline": "lora", "asks": "better?"}}},
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(data | changes))
        return load_study(path)

    return make


@pytest.fixture
def protocol(make_study: Any) -> StudyProtocol:
    from studies.run.protocol import draft_protocol, require_inputs

    return require_inputs(draft_protocol(make_study()))
