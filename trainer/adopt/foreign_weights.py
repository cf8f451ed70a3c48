"""adapter_model.safetensors of another tool: A, B and magnitudes of the base's linear modules, and nothing else.

Names and shapes are judged from the header, against the base, before a value is read. r is a module's rank:
A is [r, in], B is [out, r], a magnitude [out].
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch

from schemas.adapter_reader import read_tensor_headers
from schemas.errors import UserError
from schemas.storage.json_files import parse_json
from schemas.storage.plain_file import read_bounded

Part = Literal["lora_A", "lora_B", "magnitude"]
Shapes = Mapping[str, tuple[int, int]]
"""Of each linear module of the base's decoder layers, by its full name: out-features and in-features."""
WEIGHTS = "adapter_model.safetensors"
_TENSOR = re.compile(
    r"base_model\.model\.(?P<module>.+)\.(?:(?P<side>lora_A|lora_B)(?:\.default)?\.weight"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.default)?(?:\.weight)?)"
)
_MOST_HEADER_BYTES = 8 << 20
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_AGAIN = "save the adapter again with the tool that trained it, as safetensors"
_MERGE = "train without it, or merge it into the base with PEFT's merge_and_unload and take the result as a base"
_BEYOND_LORA = (
    (re.compile(r"\.lora_embedding_[AB]$"), "a LoRA of the embedding"),
    (re.compile(r"trainable_tokens"), "embeddings of single tokens"),
    (re.compile(r"\.lora_[AB](\.default)?\.bias$"), "a bias of a LoRA (lora_bias)"),
    (re.compile(r"(embed_tokens|wte)\."), "a whole embedding (modules_to_save, or a resized vocabulary)"),
    (
        re.compile(r"lm_head\.(modules_to_save\.|original_module\.)?(default\.)?weight$"),
        "a whole LM head (modules_to_save)",
    ),
    (re.compile(r"\.modules_to_save\."), "a whole module (modules_to_save)"),
)


@dataclass(frozen=True)
class ForeignWeights:
    """The tensors as they came."""

    modules: Mapping[str, Mapping[Part, torch.Tensor]]
    """By full module name: A, B and, for DoRA, the magnitude."""
    sha256: str
    """Hash of the file."""


def read_foreign_weights(directory: Path, base: Shapes, *, use_dora: bool) -> ForeignWeights:
    """Reads the adapter's tensors.

    Args:
        directory: the adapter's.
        base: the base's linear modules.
        use_dora: whether the config says that there are magnitudes.

    Raises:
        UserError: the weights are pickled, are not whole, go beyond LoRA, are not finite, or are of another base.
    """
    path = _weights_file(directory)
    parts = {name: _part(name, shape, base, path) for name, shape in _header(path).items()}
    _require_whole_modules(parts, path, use_dora=use_dora)
    most = _MOST_HEADER_BYTES + 4 * sum(math.prod(shape) for _, _, shape in parts.values())
    blob = read_bounded(path, "adapter's weights", limit=most, fix=_AGAIN)
    headers = read_tensor_headers(path, blob, fix=_AGAIN)
    if all(header.all_zero for name, header in headers.items() if parts[name][1] == "lora_B"):
        raise UserError("every B of the adapter is zero: it is its base", where=path, fix="train it first")
    modules: dict[str, dict[Part, torch.Tensor]] = {}
    for name, tensor in safetensors.torch.load(blob).items():
        module, part, _ = parts[name]
        modules.setdefault(module, {})[part] = tensor
    return ForeignWeights(modules, hashlib.sha256(blob).hexdigest())


def left_behind(directory: Path) -> list[str]:
    """Names of the files that are never opened: other tools save tokenizers, optimizers and pickles beside an adapter."""
    return sorted(path.name for path in directory.iterdir() if path.name not in ("adapter_config.json", WEIGHTS))


def _weights_file(directory: Path) -> Path:
    path, pickled = directory / WEIGHTS, directory / "adapter_model.bin"
    if pickled.exists():
        raise UserError(
            "the adapter's weights are pickled (adapter_model.bin), which runs code when it is read",
            where=pickled,
            fix="save it as safetensors where you trust it: PeftModel.from_pretrained(...).save_pretrained(DIR)",
        )
    if not path.is_file():
        shown = ", ".join(left_behind(directory)[:5]) or "nothing"
        raise UserError(
            f"there is no {WEIGHTS}, but {shown}", where=directory, fix="name the directory that holds the adapter"
        )
    return path


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes, from the first bytes alone."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, _MOST_HEADER_BYTES))
    if length > _MOST_HEADER_BYTES or len(text) < length:
        raise UserError(f"{WEIGHTS} is no safetensors file, or cut short", where=path, fix=_AGAIN)
    entries = parse_json(text, f"header of {WEIGHTS}", where=path, fix=_AGAIN)
    entries = (
        {name: entry for name, entry in entries.items() if name != "__metadata__"} if isinstance(entries, dict) else {}
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for name, entry in entries.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise UserError(f"{WEIGHTS} is damaged: {name[:100]} has no shape", where=path, fix=_AGAIN)
        shapes[name] = tuple(shape)
    if not shapes:
        raise UserError(f"{WEIGHTS} holds no tensors", where=path, fix=_AGAIN)
    return shapes


def _part(name: str, shape: tuple[int, ...], base: Shapes, path: Path) -> tuple[str, Part, tuple[int, ...]]:
    """Module and part that a tensor is, once it fits the base."""
    match = _TENSOR.fullmatch(name)
    if match is None:
        what = next((words for pattern, words in _BEYOND_LORA if pattern.search(name)), "no LoRA or DoRA tensor")
        raise UserError(f"the adapter holds {name[:200]}, {what}", where=path, fix=_MERGE)
    module = match["module"]
    if module not in base:
        if ".layers." not in module:
            raise UserError(
                f"the adapter adapts {module[:200]}, which is in no decoder layer of the base", where=path, fix=_MERGE
            )
        raise UserError(
            f"the adapter adapts {module[:200]}, which the base does not have",
            where=path,
            fix="give its base with --base",
        )
    outputs, inputs = base[module]
    part: Part = match["side"] or "magnitude"  # type: ignore[assignment]
    fits = {
        "lora_A": len(shape) == 2 and shape[1] == inputs,
        "lora_B": len(shape) == 2 and shape[0] == outputs,
        "magnitude": shape == (outputs,),
    }[part]
    if not fits or 0 in shape:
        raise UserError(
            f"the adapter's {part} of {module} is {list(shape)}, the base's module has {inputs} inputs and {outputs} outputs",
            where=path,
            fix="give the base that it was trained on with --base",
        )
    return module, part, shape


def _require_whole_modules(parts: Mapping[str, tuple[str, Part, Any]], path: Path, *, use_dora: bool) -> None:
    wanted = {"lora_A", "lora_B"} | ({"magnitude"} if use_dora else set())
    found: dict[str, dict[Part, tuple[int, ...]]] = {}
    for module, part, shape in parts.values():
        if part in found.setdefault(module, {}):
            raise UserError(f"the adapter holds {part} of {module} twice", where=path, fix=_AGAIN)
        found[module][part] = shape
    for module, shapes in found.items():
        if set(shapes) != wanted:
            raise UserError(
                f"{module} has {', '.join(sorted(shapes))}, expected {', '.join(sorted(wanted))} (use_dora = {use_dora})",
                where=path,
                fix=_AGAIN,
            )
        if shapes["lora_A"][0] != shapes["lora_B"][1]:
            raise UserError(
                f"A and B of {module} are of rank {shapes['lora_A'][0]} and {shapes['lora_B'][1]}",
                where=path,
                fix=_AGAIN,
            )
