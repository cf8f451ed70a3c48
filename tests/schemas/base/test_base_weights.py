"""A base whose weight files are not its architecture's is refused by name, from the headers alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MixtralConfig, PreTrainedModel

from schemas.base.base_weights import checkpoint_files, read_shapes, require_loaded, require_matching
from schemas.errors import UserError

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


@pytest.fixture
def sharded(tiny_base: Path, tmp_path: Path) -> Path:
    """The same base in several files and an index."""
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    assert len(list((tmp_path / "sharded").glob("model-*"))) > 2
    return tmp_path / "sharded"


def skeleton(source: Path | LlamaConfig) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(source) if isinstance(source, Path) else source
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def rewrite(base: Path, change: Callable[[Tensors], Tensors]) -> None:
    path = base / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def set_config(base: Path, **changes: Any) -> None:
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def fault_of(base: Path) -> str:
    with pytest.raises(UserError) as raised:
        require_matching(skeleton(base), base)
    return str(raised.value)


def test_a_whole_base_passes_in_one_file_or_in_shards(tiny_base: Path, sharded: Path) -> None:
    for base in (tiny_base, sharded):
        require_matching(skeleton(base), base)
    assert read_shapes(tiny_base) == read_shapes(sharded)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "base_model.model.", "module."])
def test_a_prefix_before_every_name_is_refused_with_names(base: Path, prefix: str) -> None:
    rewrite(base, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    fault = fault_of(base)
    assert "missing: lm_head.weight, model.embed_tokens.weight" in fault
    assert f"not of this architecture: {prefix}lm_head.weight" in fault
    assert "and 35 more" in fault


def test_a_missing_tensor_is_named(base: Path) -> None:
    gone = "model.layers.3.mlp.down_proj.weight"
    rewrite(base, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != gone})
    assert f"missing: {gone}" in fault_of(base)


def test_a_stray_tensor_is_named(base: Path) -> None:
    rewrite(base, lambda tensors: tensors | {"model.layers.9.mlp.down_proj.weight": torch.ones(2)})
    assert "not of this architecture: model.layers.9.mlp.down_proj.weight" in fault_of(base)


def test_a_tensor_of_another_shape_is_named_with_both(base: Path) -> None:
    rewrite(base, lambda tensors: tensors | {"model.norm.weight": torch.ones(7)})
    assert "of another shape: model.norm.weight is (7,), not (32,)" in fault_of(base)


def test_a_vocabulary_of_another_size_is_refused(base: Path) -> None:
    set_config(base, vocab_size=1500)
    assert "model.embed_tokens.weight is" in fault_of(base)


def test_a_head_may_be_missing_only_where_it_is_tied(base: Path) -> None:
    rewrite(base, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"})
    assert "missing: lm_head.weight" in fault_of(base)
    set_config(base, tie_word_embeddings=True)
    require_matching(skeleton(base), base)


def test_names_and_buffers_of_older_releases_are_legitimate(base: Path) -> None:
    rewrite(base, lambda tensors: tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)})
    require_matching(skeleton(base), base)


def test_experts_that_transformers_stacks_are_recognised(tmp_path: Path) -> None:
    config = MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=3, tie_word_embeddings=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert any(".experts.2." in name for name in read_shapes(tmp_path))
    require_matching(skeleton(tmp_path), tmp_path)
    rewrite(tmp_path, lambda tensors: {name: tensor for name, tensor in tensors.items() if ".experts.2." not in name})
    assert "architecture" in fault_of(tmp_path)


def lfs_pointer(base: Path) -> None:
    (base / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2744680\n")


def cut_short(base: Path) -> None:
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def header_beyond_the_file(base: Path) -> None:
    (base / "model.safetensors").write_bytes((10**6).to_bytes(8, "little") + b"{}")


def endless_header(base: Path) -> None:
    (base / "model.safetensors").write_bytes((2**63).to_bytes(8, "little") + b"{}")


def empty(base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"")


def leftover_adapter(base: Path) -> None:
    (base / "adapter_config.json").write_text("{}")


def second_checkpoint(base: Path) -> None:
    shutil.copy(base / "model.safetensors", base / "consolidated.safetensors")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lfs_pointer, "Git LFS pointer"),
        (cut_short, "model.safetensors is cut short or damaged"),
        (header_beyond_the_file, "cut short or damaged"),
        (endless_header, "no safetensors file"),
        (empty, "cut short or damaged"),
        (leftover_adapter, "also holds an adapter \\(adapter_config.json\\)"),
        (second_checkpoint, "other weights beside model.safetensors: consolidated.safetensors"),
    ],
)
def test_a_broken_file_is_refused_by_name(base: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(base)
    with pytest.raises(UserError, match=said) as raised:
        read_shapes(base)
    assert raised.value.fix


def test_a_missing_shard_is_named(sharded: Path) -> None:
    gone = sorted(sharded.glob("model-*"))[1]
    gone.unlink()
    with pytest.raises(UserError, match=f"weight files are missing: {gone.name}"):
        read_shapes(sharded)


def test_shards_without_their_index_are_refused(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    with pytest.raises(UserError, match=r"but no model\.safetensors\.index"):
        read_shapes(sharded)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../x"}}', "[" * 9999],
)
def test_a_damaged_index_is_refused(sharded: Path, text: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(text)
    with pytest.raises(UserError, match="index of the model's weights"):
        read_shapes(sharded)


def test_one_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    first, second = sorted(sharded.glob("model-*"))[:2]
    save_file(load_file(first) | load_file(second), second, metadata={"format": "pt"})
    with pytest.raises(UserError, match="stands in two weight files"):
        read_shapes(sharded)


def test_a_directory_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no safetensors weights"):
        checkpoint_files(tmp_path)


def test_what_a_real_loading_misses_is_refused_too(base: Path) -> None:
    gone = "model.norm.weight"
    rewrite(base, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != gone})
    _, found = AutoModelForCausalLM.from_pretrained(base, output_loading_info=True)
    with pytest.raises(UserError, match=f"missing: {gone}"):
        require_loaded(found, base)
