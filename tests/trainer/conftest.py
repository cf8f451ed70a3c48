"""What the trainer's tests share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def objectives() -> ModuleType:
    """The module tests/trainer/objectives.py: tiny models, ragged batches and their gradients."""
    return _module("objectives")


@pytest.fixture(scope="session")
def training_runs() -> ModuleType:
    """The module tests/trainer/training_runs.py: configs of short real runs on the tiny base."""
    return _module("training_runs")


@pytest.fixture(scope="session")
def kill_fuzz() -> ModuleType:
    """The module tests/trainer/kill_fuzz.py: kills runs at chosen file operations and resumes them."""
    return _module("kill_fuzz")


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
