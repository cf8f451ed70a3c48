"""Only a whole Llama is converted; anything else is refused by name, from the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import LlamaForCausalLM

from schemas.errors import UserError
from tests.trainer.import_base.gguf_files import tensors, write_gguf
from trainer.import_base.gguf_layout import require_whole_llama


def without(weights: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in weights.items() if key != name}


def test_a_whole_llama_is_counted(gguf: Path, llama: LlamaForCausalLM) -> None:
    layout = require_whole_llama(gguf)
    assert (layout.layers, layout.parameters) == (2, sum(p.numel() for p in llama.parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "blk.1.ffn_up.weight"), r"missing: blk\.1\.ffn_up\.weight"),
        (lambda w: without(w, "token_embd.weight"), r"missing: token_embd\.weight"),
        (lambda w: {**w, "blk.0.attn_q.bias": np.zeros(64, np.float32)}, r"unexpected: blk\.0\.attn_q\.bias"),
        (lambda w: {**w, "blk.2.ffn_up.weight": w["blk.1.ffn_up.weight"]}, r"unexpected: blk\.2\.ffn_up\.weight"),
        (lambda w: {**w, "output_norm.weight": np.ones(63, np.float32)}, r"output_norm\.weight is \[63\], not \[64\]"),
        (lambda w: {**w, "rope_freqs.weight": np.ones(16, np.float32)}, "scales its rotary embedding"),
    ],
)
def test_wrong_tensors_are_named(
    change: Any, message: str, llama: LlamaForCausalLM, tiny_base: Path, tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "wrong.gguf", llama, tiny_base, change(tensors(llama)))
    with pytest.raises(UserError, match=message):
        require_whole_llama(file)


def test_another_architecture_is_refused_by_name(llama: LlamaForCausalLM, tiny_base: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "falcon.gguf", llama, tiny_base, architecture="falcon")
    with pytest.raises(UserError, match="'falcon'; only llama is converted"):
        require_whole_llama(file)


@pytest.mark.parametrize("kept", [0, 3, 4, 20, 400, 9000, -4])
def test_a_file_that_is_cut_short_is_refused(kept: int, gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cut short or damaged|no GGUF file"):
        require_whole_llama(cut)


def test_a_path_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>not found</html>")
    with pytest.raises(UserError, match="no GGUF file"):
        require_whole_llama(tmp_path / "page.gguf")
