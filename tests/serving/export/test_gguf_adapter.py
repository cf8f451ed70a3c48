"""The GGUF file is the adapter by llama.cpp's own reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest
from serving.export.gguf_adapter import interleaved, write_gguf_adapter
from tests.adapter_runs import AdapterShape, write_adapter_run
from tests.trainer.import_base.gguf_files import tiny_llama, write_gguf

WORDS = ["please", "answer", "following", "question", "with", "true", "false", "golden", "number", "even", "correct"]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> tuple[Path, Path]:
    """A base as a directory, and as a GGUF file."""
    directory = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model = tiny_llama(len(tokenizer))
    model.save_pretrained(directory / "base")
    tokenizer.save_pretrained(directory / "base")
    return directory / "base", write_gguf(directory / "base.gguf", model, tiny_base)


def test_llama_cpp_computes_with_it_what_peft_does(llama: tuple[Path, Path], tmp_path: Path) -> None:
    base, base_file = llama
    run = write_adapter_run(tmp_path / "run", base, AdapterShape(rank=4, alpha=6.0, targets=LINEAR, spread=0.05))
    assert write_gguf_adapter(run.adapter, AdapterManifest.read(run.manifest), base, tmp_path / "a.gguf") == 28
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run.adapter).eval()
    tokenizer, compared, moved = AutoTokenizer.from_pretrained(base), 0, 0.0
    for prompt, theirs in next_tokens(base_file, tmp_path / "a.gguf").items():
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            ours = model(ids).logits[0, -1].log_softmax(-1)
            with model.disable_adapter():
                bare = model(ids).logits[0, -1].log_softmax(-1)
        for token, logprob in theirs.items():
            assert float(ours[token]) == pytest.approx(logprob, abs=0.02)
            moved = max(moved, abs(float(bare[token]) - logprob))
            compared += 1
    assert compared >= 20
    assert moved > 0.5  # without the adapter it would not fit


def next_tokens(base: Path, adapter: Path) -> dict[str, dict[int, float]]:
    """By prompt llama.cpp's five likeliest next tokens, where the likeliest one is text."""
    xllamacpp = pytest.importorskip("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(base)
    settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    settings.n_ctx, settings.cpuparams.n_threads, settings.warmup = 128, 1, False
    server, found = xllamacpp.Server(settings), {}
    for prompt in WORDS:
        answer: Any = server.handle_completions({"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": 5})
        if logprobs := answer["choices"][0]["logprobs"]:
            found[prompt] = {one["id"]: one["logprob"] for one in logprobs["content"][0]["top_logprobs"]}
    return found


def test_rows_of_two_halves_become_pairs() -> None:
    rows = np.array([[0], [1], [2], [3], [10], [11], [12], [13]], dtype=np.float32)
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 10, 12, 11, 13]


def test_what_llama_cpp_has_not_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    run = write_adapter_run(tmp_path / "run", tiny_base, AdapterShape(method="dora"))
    manifest = AdapterManifest.read(run.manifest)
    with pytest.raises(UserError, match=r"llama\.cpp has no DoRA"):
        write_gguf_adapter(run.adapter, manifest, tiny_base, tmp_path / "a.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "gemma2"}')
    lora = manifest.model_copy(update={"adapter": manifest.adapter.model_copy(update={"use_dora": False})})
    with pytest.raises(UserError, match="gemma2 base was never held"):
        write_gguf_adapter(run.adapter, lora, tmp_path, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()
