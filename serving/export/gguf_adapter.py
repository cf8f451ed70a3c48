"""A LoRA adapter as the GGUF file that llama.cpp puts onto its base (`--lora FILE`).

Names are those of the gguf library's own table. Where llama.cpp rotates neighbouring values of a head instead of its two
halves (Llama, Mistral), the rows of B are put in that order, as its converters do with the base's weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from schemas.adapter_reader import as_float32
from schemas.base.base_model import read_config
from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest

Values = NDArray[np.float32]
# transformers' model_type, and llama.cpp's name for the architecture; what is not here was not held against llama.cpp.
_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
_INTERLEAVED = ("llama", "mistral")
_PREFIX, _SIDES = "base_model.model.", {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def write_gguf_adapter(adapter: Path, manifest: AdapterManifest, base: Path, file: Path) -> int:
    """Writes the file, whole or not at all; returns how many tensors it holds.

    Args:
        adapter: directory of the verified adapter.
        manifest: its manifest.
        base: directory of the base, for its architecture.
        file: what to write.

    Raises:
        UserError: llama.cpp has no DoRA, or nobody has looked how it reads adapters of this architecture.
    """
    config = read_config(base)
    kind = str(config.get("model_type"))
    if manifest.adapter.use_dora:
        raise UserError("llama.cpp has no DoRA", where=adapter, fix="export it merged: --merged DIR, and convert that")
    if kind not in _ARCHITECTURES:
        raise UserError(
            f"a GGUF adapter of a {kind} base was never held against llama.cpp",
            where=base,
            fix=f"known are {', '.join(_ARCHITECTURES)}; --merged DIR takes every base",
        )
    tensors = _tensors(adapter, config, kind)
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_name(f".{file.name}.staged")
    try:
        _write(staged, tensors, _ARCHITECTURES[kind], manifest)
        os.replace(staged, file)
    finally:
        staged.unlink(missing_ok=True)
    return len(tensors)


def _tensors(adapter: Path, config: Mapping[str, Any], kind: str) -> dict[str, Values]:
    """By GGUF's names: A [r, in], B [out, r]."""
    import gguf

    architecture = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == _ARCHITECTURES[kind])
    names = gguf.get_tensor_name_map(architecture, int(config["num_hidden_layers"]))
    heads, groups = int(config["num_attention_heads"]), int(config.get("num_key_value_heads") or 0)
    found = {}
    blob = (adapter / "adapter_model.safetensors").read_bytes()
    for name, tensor in safetensors.deserialize(blob):  # type: ignore[no-untyped-call]
        side = next(ending for ending in _SIDES if name.endswith(ending))
        module = name.removeprefix(_PREFIX).removesuffix(side)
        values = np.array(as_float32(tensor["data"], tensor["dtype"]), dtype=np.float32).reshape(tensor["shape"])
        turned = {"q_proj": heads, "k_proj": groups or heads}.get(module.rsplit(".", 1)[-1])
        if turned and side == ".lora_B.weight" and kind in _INTERLEAVED:
            values = interleaved(values, turned)
        place = names.get_name(module)
        assert place is not None, f"gguf has no name for {module}"
        found[f"{place}.weight{_SIDES[side]}"] = np.ascontiguousarray(values)
    return found


def interleaved(rows: Values, heads: int) -> Values:
    """The rows of each head [head_dim, ...], its two halves one value of each in turn."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _write(file: Path, tensors: Mapping[str, Values], architecture: str, manifest: AdapterManifest) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(file, architecture)
    writer.add_type("adapter")
    writer.add_name(manifest.name)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", manifest.adapter.alpha)
    for name, values in sorted(tensors.items()):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
