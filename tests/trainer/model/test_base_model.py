from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from schemas.base.find_base import find_base
from schemas.errors import UserError
from schemas.training.train_config import BaseModelConfig
from trainer.model.base_model import load_base, load_tokenizer


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def test_pickled_weights_are_not_read(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="no safetensors"):
        find_base(copy)


def test_weights_are_loaded_frozen_in_the_configs_type(tiny_base: Path) -> None:
    base = BaseModelConfig(model=str(tiny_base), dtype="bfloat16")
    model = load_base(find_base(base.model), base, torch.device("cpu"))
    assert {(p.dtype, p.requires_grad) for p in model.parameters()} == {(torch.bfloat16, False)}


def test_a_tokenizer_without_padding_gets_some_and_one_without_end_is_refused(copy: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    files = find_base(copy)
    assert load_tokenizer(files).pad_token_id == tokenizer.eos_token_id
    tokenizer.eos_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(UserError, match="no end-of-sequence"):
        load_tokenizer(files)
