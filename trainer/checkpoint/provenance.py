"""What shaped a run: versions of the software, identity of the data and of the base."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from schemas.base.find_base import BaseModelFiles
from trainer.checkpoint.state import RunIdentity
from trainer.data.sources import LoadedSource

_PACKAGES = ("echo-lora", "torch", "transformers", "peft", "accelerate", "datasets", "safetensors", "tokenizers")


def identity_of(settings: dict[str, Any], files: BaseModelFiles, sources: Sequence[LoadedSource]) -> RunIdentity:
    """Everything that must be unchanged for a run to be resumed; `settings` is its config as plain data."""
    return RunIdentity(
        config=settings,
        data_sha256=tuple(source.sha256 for source in sources),
        base=files.identity(),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape the result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.processor() or platform.machine()}, {torch.get_num_threads()} threads)"
