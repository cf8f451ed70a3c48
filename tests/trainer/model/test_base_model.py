from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

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


def test_weights_in_their_files_type_are_the_files_own_pages(tmp_path: Path) -> None:
    """So the processes of an FSDP launch, which all load the base, hold it in host memory once."""
    torch.manual_seed(0)
    shape = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=512, **shape)).save_pretrained(tmp_path)
    program = """
import re, sys, torch
from pathlib import Path
from schemas.base.find_base import BaseModelFiles
from schemas.training.train_config import BaseModelConfig
from trainer.model.base_model import load_base

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024

path = Path(sys.argv[1])
arguments = BaseModelFiles(path, None), BaseModelConfig(model=str(path), dtype="float32"), torch.device("cpu")
first = load_base(*arguments)  # imports what loading needs
before = anonymous()
model = load_base(*arguments)
print(anonymous() - before, sum(p.numel() * p.element_size() for p in model.parameters()))
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    own, weights = map(int, done.stdout.split()[-2:])
    assert own < weights / 3
