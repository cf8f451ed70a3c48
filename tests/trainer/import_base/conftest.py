"""A tiny Llama, and its GGUF file."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaForCausalLM

from tests.trainer.import_base.gguf_files import tiny_llama, write_gguf


@pytest.fixture(scope="session")
def llama(tiny_base: Path) -> LlamaForCausalLM:
    return tiny_llama(len(AutoTokenizer.from_pretrained(tiny_base)))


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory, llama: LlamaForCausalLM, tiny_base: Path) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", llama, tiny_base)
