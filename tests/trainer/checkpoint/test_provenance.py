from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from schemas.base.find_base import find_base
from trainer.checkpoint.provenance import device_name, identity_of, versions
from trainer.data.sources import load_sources


@pytest.mark.parametrize(("changes", "same"), [({}, True), ({"seed": 1}, False), ({"data__train": "other"}, False)])
def test_a_runs_identity_is_its_config_its_data_and_its_base(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    changes: dict[str, Any],
    same: bool,
) -> None:
    def identity(directory: str, rows: list[dict[str, str]], **changes: Any) -> Any:
        config = training_runs.make_config(tmp_path / directory, tiny_base, rows, runs="runs", **changes)
        data = config.data.model_copy(update={"train": config.data.train})
        files = find_base(config.base.model, config.base.revision)
        found = identity_of(config.model_dump(mode="json"), files, load_sources(data))
        return found.model_copy(update={"config": {**found.config, "data": None}})

    rows = records[:5] if changes.pop("data__train", None) else records
    assert (identity("one", records) == identity("two", rows, **changes)) is same


def test_versions_are_those_of_the_packages_that_shape_a_result() -> None:
    found = versions()
    assert found["torch"] == version("torch")
    assert {"python", "peft", "transformers", "safetensors"} <= set(found)


def test_a_processor_is_named_with_its_threads() -> None:
    assert f"{torch.get_num_threads()} threads" in device_name(torch.device("cpu"))
