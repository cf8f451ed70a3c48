"""The directory that comes out of a GGUF file holds the same model, to the bit and by llama.cpp's own reading."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from schemas.base.find_base import find_base
from schemas.errors import UserError
from tests.trainer.import_base.gguf_files import TEMPLATE
from trainer.import_base import convert as conversion
from trainer.import_base.convert import convert

QUIET = Console(quiet=True)
WORDS = [
    "please",
    "answer",
    "the",
    "following",
    "question",
    "with",
    "true",
    "or",
    "false",
    "is",
    "golden",
    "number",
    "really",
    "even",
    "correct",
]


@pytest.fixture(scope="module")
def imported(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("imported") / "base"
    convert(gguf, directory, "float32", QUIET)
    return directory


def test_the_weights_are_the_files_own(imported: Path, llama: LlamaForCausalLM) -> None:
    found = AutoModelForCausalLM.from_pretrained(imported).state_dict()
    assert found.keys() == llama.state_dict().keys()
    assert all(torch.equal(found[name], weight) for name, weight in llama.state_dict().items())


def test_it_is_a_base_like_any_other(imported: Path) -> None:
    assert find_base(imported).directory == imported
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in imported.iterdir()
    }
    assert "quantization_config" not in (imported / "config.json").read_text()


def test_tokenizer_and_chat_template_come_along(imported: Path, tiny_base: Path) -> None:
    made, original = (AutoTokenizer.from_pretrained(path) for path in (imported, tiny_base))
    text = "is the golden number 17 really even? ünï😀"
    assert made.chat_template == TEMPLATE
    assert made(text, add_special_tokens=False).input_ids == original(text, add_special_tokens=False).input_ids
    assert (made.bos_token_id, made.eos_token_id) == (original.bos_token_id, original.eos_token_id)


def test_llama_cpp_reads_the_same_model_out_of_the_file(imported: Path, gguf: Path) -> None:
    """Log-probabilities of the likeliest next tokens; llama.cpp keeps keys and values in float16."""
    tokenizer, model = AutoTokenizer.from_pretrained(imported), AutoModelForCausalLM.from_pretrained(imported)
    compared = 0
    for prompt, theirs in llama_cpp_next_tokens(gguf, WORDS).items():
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            ours = model(ids).logits[0, -1].log_softmax(-1)
        for token, logprob in theirs.items():
            assert float(ours[token]) == pytest.approx(logprob, abs=0.02)
            compared += 1
    assert compared >= 25


def llama_cpp_next_tokens(file: Path, prompts: list[str]) -> dict[str, dict[int, float]]:
    """By prompt the five likeliest next tokens' log-probabilities, where the likeliest one is text: half a character
    of several bytes has none in its answers."""
    xllamacpp = pytest.importorskip("xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.cpuparams.n_threads, settings.warmup = 128, 1, False
    server, found = xllamacpp.Server(settings), {}
    for prompt in prompts:
        answer: Any = server.handle_completions({"prompt": prompt, "n_predict": 1, "temperature": 0, "n_probs": 5})
        if logprobs := answer["choices"][0]["logprobs"]:
            found[prompt] = {one["id"]: one["logprob"] for one in logprobs["content"][0]["top_logprobs"]}
    return found


def test_bfloat16_halves_the_weights(gguf: Path, imported: Path, tmp_path: Path) -> None:
    convert(gguf, tmp_path / "half", "bfloat16", QUIET)
    whole, half = (path / "model.safetensors" for path in (imported, tmp_path / "half"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size


def test_without_room_nothing_is_begun(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="0 MiB are free"):
        convert(gguf, tmp_path / "base", "float32", QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_in_the_middle_leaves_nothing_and_the_same_call_goes_on(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "sync_directory", lambda _: None)
        patch.setattr(conversion.os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert(gguf, tmp_path / "base", "float32", QUIET)
    assert list(tmp_path.iterdir()) == []
    convert(gguf, tmp_path / "base", "float32", QUIET)
    assert (tmp_path / "base" / "model.safetensors").is_file()


def test_what_a_kill_left_is_no_obstacle_and_does_not_stay(gguf: Path, tmp_path: Path) -> None:
    left = tmp_path / ".base.importing"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half of it")
    convert(gguf, tmp_path / "base", "float32", QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    assert find_base(tmp_path / "base").directory == tmp_path / "base"


def test_other_users_may_read_the_weights(imported: Path) -> None:
    assert (imported / "model.safetensors").stat().st_mode & 0o777 == 0o644
