"""No backend scores a base whose weights are not its architecture's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from evaluator.backends.huggingface import TransformersBackend
from evaluator.backends.whole_base import require_whole_base
from evaluator.subject import base_subject
from schemas.errors import UserError


@pytest.fixture
def headless(tiny_base: Path, tmp_path: Path) -> Path:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tensors = load_file(base / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    return base


def test_a_whole_base_passes(tiny_base: Path) -> None:
    require_whole_base(tiny_base)


def test_a_base_without_its_head_is_not_scored_on_random_numbers(headless: Path, tmp_path: Path) -> None:
    backend = TransformersBackend(base_subject(str(headless), tmp_path, None), "cpu", 1)
    with pytest.raises(UserError, match=r"missing: lm_head\.weight"):
        backend.open("base")
