"""adapter_model.safetensors of a stranger: LoRA and DoRA of this base's linear modules, or one message."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from schemas.errors import UserError
from trainer.adopt.foreign_weights import WEIGHTS, ForeignWeights, left_behind, read_foreign_weights

BASE = {"model.layers.0.self_attn.q_proj": (6, 4), "model.layers.1.self_attn.q_proj": (6, 4)}
Q = "base_model.model.model.layers.0.self_attn.q_proj"
A, B = torch.ones(2, 4), torch.ones(6, 2)


def read(directory: Path, tensors: dict[str, torch.Tensor], *, use_dora: bool = False) -> ForeignWeights:
    safetensors.torch.save_file(tensors, directory / WEIGHTS)
    return read_foreign_weights(directory, BASE, use_dora=use_dora)


@pytest.mark.parametrize("ending", ["weight", "default.weight"])
def test_a_and_b_are_found_by_their_module(tmp_path: Path, ending: str) -> None:
    found = read(tmp_path, {f"{Q}.lora_A.{ending}": A, f"{Q}.lora_B.{ending}": B})
    assert torch.equal(found.modules["model.layers.0.self_attn.q_proj"]["lora_B"], B)


@pytest.mark.parametrize(
    "name", ["lora_magnitude_vector", "lora_magnitude_vector.weight", "lora_magnitude_vector.default.weight"]
)
def test_magnitudes_are_found_under_the_names_of_every_release(tmp_path: Path, name: str) -> None:
    tensors = {f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B, f"{Q}.{name}": torch.ones(6)}
    assert set(read(tmp_path, tensors, use_dora=True).modules.popitem()[1]) == {"lora_A", "lora_B", "magnitude"}


BEYOND = {
    "base_model.model.model.embed_tokens.lora_embedding_A": "a LoRA of the embedding",
    "base_model.model.model.embed_tokens.weight": "a whole embedding",
    "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": "embeddings of single tokens",
    "base_model.model.lm_head.weight": "a whole LM head",
    "base_model.model.lm_head.modules_to_save.weight": "a whole LM head",
    "base_model.model.score.modules_to_save.weight": "a whole module",
    "base_model.model.lm_head.lora_A.weight": "in no decoder layer",
    f"{Q}.lora_B.bias": "a bias of a LoRA",
    "model.layers.0.self_attn.q_proj.weight": "no LoRA or DoRA tensor",
}


@pytest.mark.parametrize(("name", "what"), BEYOND.items())
def test_what_goes_beyond_lora_is_named(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as raised:
        read(tmp_path, {f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B, name: torch.ones(2, 4)})
    assert name.removeprefix("base_model.model.").split(".lora_A")[0] in raised.value.what


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({f"{Q.replace('layers.0', 'layers.7')}.lora_A.weight": A}, "layers.7.*which the base does not have"),
        (
            {f"{Q}.lora_A.weight": torch.ones(2, 5), f"{Q}.lora_B.weight": B},
            r"\[2, 5\], the base's module has 4 inputs",
        ),
        ({f"{Q}.lora_A.weight": A}, "has lora_A, expected lora_A, lora_B"),
        ({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": torch.ones(6, 3)}, "of rank 2 and 3"),
        (
            {f"{Q}.lora_A.weight": A, f"{Q}.lora_A.default.weight": A.clone(), f"{Q}.lora_B.weight": B},
            "lora_A of .* twice",
        ),
        ({f"{Q}.lora_A.weight": A * torch.nan, f"{Q}.lora_B.weight": B}, "holds NaN"),
        ({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B.double()}, "has dtype F64"),
        ({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B * 0}, "every B of the adapter is zero"),
        ({}, "holds no tensors"),
    ],
)
def test_an_adapter_of_another_base_or_in_pieces_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        read(tmp_path, tensors)


@pytest.mark.parametrize("safe_too", [True, False])
def test_pickled_weights_are_never_opened(tmp_path: Path, safe_too: bool) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04not to be opened")
    if safe_too:
        safetensors.torch.save_file({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B}, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"pickled \(adapter_model.bin\)"):
        read_foreign_weights(tmp_path, BASE, use_dora=False)


@pytest.mark.parametrize("cut", [4, 40, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    safetensors.torch.save_file({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B}, tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:cut])
    with pytest.raises(UserError, match=r"cut short|cannot be read"):
        read_foreign_weights(tmp_path, BASE, use_dora=False)


def test_other_files_are_left_behind_and_a_directory_without_weights_is_told_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "training_args.bin").write_bytes(b"")
    assert left_behind(tmp_path) == ["training_args.bin"]
    with pytest.raises(UserError, match=r"there is no adapter_model.safetensors, but training_args.bin"):
        read_foreign_weights(tmp_path, BASE, use_dora=False)
