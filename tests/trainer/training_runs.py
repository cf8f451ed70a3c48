"""Short real runs on the tiny base."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from trainer.config_file import load_config
from trainer.train import train


def write_config(directory: Path, base: Path, records: list[dict[str, Any]], **changes: Any) -> Path:
    """A config file whose run directory is `directory/runs/<name>`; `changes` are keys like `training__epochs`."""
    data = directory / "train.json"
    directory.mkdir(parents=True, exist_ok=True)
    data.write_text(json.dumps(records))
    config: dict[str, Any] = {
        "name": "run",
        "runs": str(directory / "runs"),
        "method": "lora",
        "base": {"model": str(base), "dtype": "float32"},
        "data": {"train": [str(data)], "validation_rows": 4},
        "adapter": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "training": {
            "learning_rate": 1e-2,
            "max_steps": 6,
            "batch_size": 8,
            "warmup_steps": 2,
            "log_every": 2,
            "save_every": 2,
            "report_to": [],
            "device": "cpu",
        },
        "echo": {"bottleneck": 8, "routing": {"start": 0.6, "end": 0.6}},
    }
    for key, value in changes.items():
        section, _, field = key.rpartition("__")
        place = config.setdefault(section, {}) if section else config
        place[field] = value
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def make_config(directory: Path, base: Path, records: list[dict[str, Any]], **changes: Any) -> TrainConfig:
    """The same, loaded."""
    return load_config(write_config(directory, base, records, **changes))


def run(config: TrainConfig, **options: Any) -> RunDirectory:
    """Trains in this process without printing."""
    return train(config, Console(quiet=True), **options)


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m trainer` in a process of its own."""
    words = [sys.executable, "-m", "trainer", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, **options)


def adapter_sha256(run_directory: RunDirectory) -> str:
    """Hash of the exported tensors."""
    return hashlib.sha256((run_directory.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
