"""The GGUF file is the adapter by llama.cpp's own reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest
from serving.export.gguf_adapter import interleaved, write_gguf_adapter
from tests.adapter_runs import AdapterShape, write_adapter_run
from tests.trainer.families import write_base
from tests.trainer.import_base.gguf_files import write_gguf

WORDS = ["please", "answer", "following", "question", "with", "true", "false", "golden", "number", "even", "correct"]
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


# Of each family: llama.cpp's architecture. Llama's and Mistral's queries and keys have their halves interleaved there.
SPARE = 8  # rows of the embedding without a token
ARCHITECTURES = {"SmolLM2": "llama", "Mistral": "llama", "Qwen2": "qwen2"}


def base_tensors(model: PreTrainedModel, architecture: str) -> dict[str, np.ndarray[Any, Any]]:
    """The base's weights under GGUF's names, as llama.cpp's own converter writes them, spare rows left out."""
    config, found = model.config, {}
    kind = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        value = weight.numpy()
        if value.shape[0] == SPARE + model.config.vocab_size:
            value = value[: model.config.vocab_size]
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if heads and architecture == "llama":
            value = value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)
        found[str(names.get_name(name, try_suffixes=(".weight", ".bias")))] = value
    if config.tie_word_embeddings:
        del found["output.weight"]
    return found


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_llama_cpp_computes_with_it_what_peft_does(family: str, tiny_base: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", family, tiny_base)
    bare = AutoModelForCausalLM.from_pretrained(base).eval()
    bare.config.vocab_size -= SPARE
    tokens = bare.config.vocab_size
    base_file = write_gguf(
        tmp_path / "base.gguf", bare, tiny_base, base_tensors(bare, ARCHITECTURES[family]), ARCHITECTURES[family]
    )
    run = write_adapter_run(tmp_path / "run", base, AdapterShape(rank=4, alpha=6.0, targets=LINEAR, spread=0.05))
    assert write_gguf_adapter(run.adapter, AdapterManifest.read(run.manifest), base, tmp_path / "a.gguf") == 56
    model = PeftModel.from_pretrained(bare, run.adapter).eval()
    tokenizer, compared, moved = AutoTokenizer.from_pretrained(base), 0, 0.0
    for prompt, theirs in next_tokens(base_file, tmp_path / "a.gguf").items():
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            ours = model(ids).logits[0, -1, :tokens].log_softmax(-1)
            with model.disable_adapter():
                before = model(ids).logits[0, -1, :tokens].log_softmax(-1)
        for token, logprob in theirs.items():
            assert float(ours[token]) == pytest.approx(logprob, abs=0.03)
            moved = max(moved, abs(float(before[token]) - logprob))
            compared += 1
    assert compared >= 15
    assert moved > 0.3  # without the adapter it would not fit


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
