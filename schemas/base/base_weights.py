"""A base's weight files against its architecture, from their headers alone: nothing is loaded to find what is wrong.

transformers fills a tensor that it does not find with random numbers, and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from schemas.errors import UserError
from schemas.storage.json_files import read_json

Shapes = Mapping[str, tuple[int, ...]]
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_MOST_HEADER_BYTES = 32 << 20
_AGAIN = "download it again"


def read_shapes(directory: Path) -> Shapes:
    """Shape of each tensor in the checkpoint's safetensors files.

    Raises:
        UserError: an adapter or a second checkpoint lies beside the model, a shard or the index is missing, or a file is
            damaged.
    """
    _refuse_other_models(directory)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in checkpoint_files(directory):
        for name, shape in _shapes_of(file):
            if name in shapes:
                raise UserError(f"{name} stands in two weight files", where=file, fix=_AGAIN)
            shapes[name] = shape
    return shapes


def checkpoint_files(directory: Path) -> Sequence[Path]:
    """The model's weight files: one, or the shards that the index names.

    Raises:
        UserError: neither is there, or the index names files that are not.
    """
    if (directory / _WHOLE).is_file():
        return (directory / _WHOLE,)
    if (directory / _INDEX).is_file():
        return _shards(directory / _INDEX)
    found = sorted(path.name for path in directory.glob("*.safetensors"))
    if not found:
        raise UserError(
            "the model has no safetensors weights",
            where=directory,
            fix="convert it with save_pretrained; .bin files are not read",
        )
    raise UserError(f"the model has the weight file {found[0]}, but no {_INDEX}", where=directory, fix=_AGAIN)


def require_matching(skeleton: Any, directory: Path) -> None:
    """Refuses weights that are not those of the architecture, by transformers' own rules for names and tied weights.

    Args:
        skeleton: the transformers model on the meta device.
        directory: the base.

    Raises:
        UserError: see `read_shapes`; or tensors are missing, unexpected or of other shapes.
    """
    shapes = read_shapes(directory)
    if getattr(skeleton.config, "quantization_config", None) is not None:
        return  # its tensors are packed; what does not fit shows when they are loaded
    anchor = next(skeleton.parameters())
    try:
        tensors = {name: anchor.new_empty(shape) for name, shape in shapes.items()}
        with _only_errors("transformers"):
            _, found = type(skeleton).from_pretrained(
                None,
                config=skeleton.config,
                state_dict=tensors,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except RuntimeError as error:  # what transformers converts, such as experts that it stacks, does not fit together
        reason = (str(error).strip() or "RuntimeError").splitlines()[0]
        raise UserError(f"the weights do not fit the model's architecture: {reason}", where=directory) from None
    require_loaded(found, directory)


def require_loaded(found: Mapping[str, Any], directory: Path) -> None:
    """Refuses what `from_pretrained(output_loading_info=True)` reports as not loaded.

    Raises:
        UserError: tensors are missing, unexpected or of other shapes.
    """
    shapes = [f"{name} is {tuple(there)}, not {tuple(wanted)}" for name, there, wanted in found["mismatched_keys"]]
    faults = [
        f"  - {what}: {_listed(sorted(names))}"
        for what, names in (
            ("missing", found["missing_keys"]),
            ("not of this architecture", found["unexpected_keys"]),
            ("of another shape", shapes),
        )
        if names
    ]
    if faults:
        raise UserError(
            "the weights are not those of the model's architecture (config.json)\n" + "\n".join(faults),
            where=directory,
            fix="save the whole model again with save_pretrained, without prefixes, beside its own config.json",
        )


def _listed(names: Sequence[str], most: int = 4) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(name[:200] for name in names[:most]) + rest


def _refuse_other_models(directory: Path) -> None:
    """transformers puts an adapter that it finds on the model, and vLLM reads every weight file where it finds no index."""
    adapter = [name for name in _ADAPTER if (directory / name).exists()]
    if adapter:
        raise UserError(
            f"the base model's directory also holds an adapter ({', '.join(adapter)}): it is two models",
            where=directory,
            fix="move the adapter's files away; where it was merged into the weights they are not needed",
        )
    if not (directory / _WHOLE).is_file():
        return
    others = sorted({path.name for path in directory.glob("*.safetensors")} - {_WHOLE})
    others += [_INDEX] * (directory / _INDEX).exists()
    if others:
        raise UserError(
            f"the base model's directory holds other weights beside {_WHOLE}: {_listed(others)}",
            where=directory,
            fix="keep one of the two",
        )


def _shards(index: Path) -> Sequence[Path]:
    data = read_json(index, "index of the model's weights", fix=_AGAIN)
    places = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise UserError("the index of the model's weights names no files", where=index, fix=_AGAIN)
    names = sorted(set(places.values()))
    if any(Path(name).name != name for name in names):
        raise UserError("the index of the model's weights names files elsewhere", where=index, fix=_AGAIN)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise UserError(f"weight files are missing: {_listed(missing)}", where=index.parent, fix=_AGAIN)
    return [index.parent / name for name in names]


def _shapes_of(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    with file.open("rb") as head:
        start = head.read(32)
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{file.name} is a Git LFS pointer, not the weights themselves", where=file, fix="git lfs pull")
    if int.from_bytes(start[:8], "little") > _MOST_HEADER_BYTES:
        raise UserError(f"{file.name} is no safetensors file, or damaged", where=file, fix=_AGAIN)
    try:
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (it is no mapping)
                yield name, tuple(tensors.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file.name} is cut short or damaged: {error}", where=file, fix=_AGAIN) from None


@contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Silences a library that would tell the same in its own words."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
