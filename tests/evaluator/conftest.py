"""What the evaluator's tests share: runs on the tiny base, a small data directory, and the real files where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.evaluator.scored_runs import edit, evaluation, policy, runs  # noqa: F401 fixtures

os.environ.setdefault("TQDM_DISABLE", "1")  # before anything imports tqdm

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The benchmark files themselves."""
    directory = Path(os.environ.get("BENCHMARK_DATA", ROOT.parent / "shared" / "data"))
    if not directory.is_dir():
        pytest.skip(f"no benchmark files at {directory}; set BENCHMARK_DATA to their directory")
    return directory


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Path:
    """Two tasks in LLM-Adapters' layout, 12 items each."""
    directory = tmp_path_factory.mktemp("data")
    solutions = [
        {**record, "answer": f"solution{1 + index % 2}", "instruction": f"Which way is {index} up?"}
        for index, record in enumerate(records)
    ]
    for folder, rows in (("boolq", records), ("piqa", solutions)):
        (directory / folder).mkdir()
        (directory / folder / "test.json").write_text(json.dumps(rows[:12]))
    return directory


@pytest.fixture
def lora_run(tmp_path: Path, tiny_base: Path) -> Path:
    """A run directory with a LoRA adapter."""
    return make_run(tmp_path / "runs" / "lora", tiny_base, "lora")


def make_run(directory: Path, base: Path, method: str, **shape: object) -> Path:
    """A run directory with a verified adapter of the given shape."""
    from tests.adapter_runs import AdapterShape, write_adapter_run

    return write_adapter_run(directory, base, AdapterShape(method=method, **shape)).root
