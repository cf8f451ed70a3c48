"""Reads an adapter directory and believes nothing: every stage that takes an adapter goes through here.

The bytes are read once, hashed against the manifest, and only then parsed; what is not exactly a LoRA or DoRA set of
the shape that the manifest states is refused (docs/method.md, trap 8).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from schemas.adapter_config import parse_adapter_config
from schemas.errors import UserError
from schemas.method import uses_dora, uses_echo
from schemas.run_directory import ADAPTER_FILES
from schemas.storage.json_files import parse_json
from schemas.storage.plain_file import read_bounded
from schemas.training.adapter_manifest import AdapterManifest

_TENSOR = re.compile(
    r"^base_model\.model\.(?P<module>.+)\.(?:(?P<side>lora_A|lora_B)\.weight|(?P<magnitude>lora_magnitude_vector))$"
)
_LAYER = re.compile(r"\.layers\.(\d{1,6})\.")
_DTYPES = ("F32", "BF16", "F16")
_MOST_HEADER_BYTES = 8 << 20
_MOST_TEXT_BYTES = 1 << 20
_LONGEST_MANIFEST = 64 * 2**20
_EXPORT_AGAIN = "export the adapter again: run the trainer on the run's config.yaml"


@dataclass(frozen=True)
class TensorHeader:
    """Shape, safetensors dtype name, and two figures by which a copy of its values is known again."""

    shape: tuple[int, ...]
    dtype: str
    norm: float
    """Frobenius norm."""
    projection: float
    """`projection` of the values."""

    @property
    def all_zero(self) -> bool:
        """Whether it holds nothing but zeros."""
        return self.norm == 0


@dataclass(frozen=True)
class VerifiedAdapter:
    """An adapter whose bytes are the manifest's and whose tensors are exactly a LoRA or DoRA set."""

    directory: Path
    manifest: AdapterManifest
    manifest_sha256: str
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorHeader]


def read_adapter(directory: Path) -> VerifiedAdapter:
    """Verifies an adapter directory.

    Raises:
        UserError: a file is missing, stray or changed; the config or the tensors are not those of a plain adapter.
    """
    if not directory.is_dir():
        raise UserError("no adapter found", where=directory, fix="train first: python -m trainer CONFIG")
    _require_exactly_the_adapter_files(directory)
    manifest_path = directory / "manifest.json"
    written = read_bounded(manifest_path, "adapter manifest", limit=_LONGEST_MANIFEST, fix=_EXPORT_AGAIN)
    manifest = AdapterManifest.from_bytes(written, where=manifest_path)
    blobs = _read_listed_files(directory, manifest)
    config = parse_adapter_config(blobs["adapter_config.json"], manifest, where=directory / "adapter_config.json")
    tensors = read_tensor_headers(directory / "adapter_model.safetensors", blobs["adapter_model.safetensors"])
    _require_lora_set(directory / "adapter_model.safetensors", tensors, manifest)
    _require_what_the_manifest_counts(directory / "adapter_model.safetensors", tensors, manifest)
    return VerifiedAdapter(directory, manifest, hashlib.sha256(written).hexdigest(), config, tensors)


def _require_exactly_the_adapter_files(directory: Path) -> None:
    found = {path.name for path in directory.iterdir()}
    pickles = sorted(name for name in found if Path(name).suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt"))
    if pickles:
        raise UserError(
            f"the adapter directory holds pickled weights, which are never read: {', '.join(pickles)}",
            where=directory,
            fix="keep only adapter_model.safetensors, or export the adapter again",
        )
    missing, stray = sorted(set(ADAPTER_FILES) - found), sorted(found - set(ADAPTER_FILES))
    if missing:
        raise UserError(f"the adapter directory lacks {', '.join(missing)}", where=directory, fix=_EXPORT_AGAIN)
    if stray:
        raise UserError(
            f"the adapter directory holds files that are not the adapter's: {', '.join(stray)[:500]}",
            where=directory,
            fix="move them away",
        )
    links = sorted(name for name in found if (directory / name).is_symlink())
    if links:
        raise UserError(
            f"the adapter directory holds links: {', '.join(links)}",
            where=directory,
            fix="copy the files themselves; what a link names may change",
        )


def _read_listed_files(directory: Path, manifest: AdapterManifest) -> Mapping[str, bytes]:
    """Each file's bytes, read once, and of the size and hash that the manifest says."""
    if set(manifest.files) != set(ADAPTER_FILES) - {"manifest.json"}:
        raise UserError(
            "the manifest does not list exactly the adapter's files",
            where=directory / "manifest.json",
            fix=_EXPORT_AGAIN,
        )
    blobs = {}
    _require_plausible_sizes(directory, manifest)
    for name, record in manifest.files.items():
        blobs[name] = read_bounded(directory / name, f"adapter's {name}", limit=record.size, fix=_EXPORT_AGAIN)
        if (len(blobs[name]), hashlib.sha256(blobs[name]).hexdigest()) != (record.size, record.sha256):
            raise UserError(
                f"{name} is not the file that was exported: its size or sha256 differs from the manifest's",
                where=directory / name,
                fix="restore it from a backup, or " + _EXPORT_AGAIN,
            )
    return blobs


def _require_plausible_sizes(directory: Path, manifest: AdapterManifest) -> None:
    """What a manifest may ask to be read: a few pages of text, and as many float32 values as it counts."""
    for name, record in manifest.files.items():
        tensors = name == "adapter_model.safetensors"
        most = _MOST_HEADER_BYTES + 4 * manifest.adapter.parameters if tensors else _MOST_TEXT_BYTES
        if record.size > most:
            raise UserError(
                f"the manifest says that {name} has {record.size:,} bytes; {most:,} is the most it can need",
                where=directory / "manifest.json",
                fix=_EXPORT_AGAIN,
            )


def read_tensor_headers(path: Path, blob: bytes, *, fix: str = _EXPORT_AGAIN) -> Mapping[str, TensorHeader]:
    """Shape and type of each tensor of a safetensors file, its values finite and of a type that adapters have.

    Raises:
        UserError: the bytes are no whole safetensors file, or hold something else.
    """
    header = blob[8 : 8 + int.from_bytes(blob[:8], "little")]
    if len(header) > _MOST_HEADER_BYTES:
        raise UserError("adapter_model.safetensors cannot be read: its header is far too long", where=path, fix=fix)
    try:
        tensors = safetensors.deserialize(blob)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise UserError(f"adapter_model.safetensors cannot be read: {error}", where=path, fix=fix) from None
    parse_json(header, "header of adapter_model.safetensors", where=path, fix=fix)  # no name twice
    return {name: _read_tensor(path, name, tensor, fix) for name, tensor in sorted(tensors)}


def _read_tensor(path: Path, name: str, tensor: Mapping[str, Any], fix: str) -> TensorHeader:
    """Shape and type of a tensor whose values are all finite."""
    shape, dtype = tuple(tensor["shape"]), str(tensor["dtype"])
    if dtype not in _DTYPES:
        raise UserError(f"{name} has dtype {dtype}, expected one of {', '.join(_DTYPES)}", where=path, fix=fix)
    values = as_float32(tensor["data"], dtype)
    if not np.isfinite(values).all():
        raise UserError(f"{name} holds NaN or infinity", where=path, fix="train again with a lower learning rate")
    exact = values.astype(np.float64)
    return TensorHeader(shape, dtype, float(np.linalg.norm(exact)), projection(exact.reshape(shape)))


def projection(values: NDArray[np.floating[Any]]) -> float:
    """The sum over i, j of cos(i + 1) cos(sqrt(2) (j + 1)) values[i, j], which any sign, order or place of the values changes.

    Rows and columns of zeros after the last add nothing. Of a vector, each value is a row.
    """
    rows = np.cos(np.arange(1.0, len(values) + 1)) @ values.reshape(len(values), -1)
    return float(rows @ np.cos(math.sqrt(2.0) * np.arange(1.0, rows.size + 1)))


def as_float32(data: bytes, dtype: str) -> NDArray[np.floating[Any]]:
    """The values of a little-endian tensor; numpy has no bfloat16, which is the upper half of a float32."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype])


def _require_lora_set(path: Path, tensors: Mapping[str, TensorHeader], manifest: AdapterManifest) -> None:
    """A, B (and, for DoRA only, a magnitude) for each module, with one rank, and nothing else."""
    modules: dict[str, dict[str, TensorHeader]] = {}
    for name, header in tensors.items():
        match = _TENSOR.match(name)
        if match is None:
            raise UserError(
                f"adapter_model.safetensors holds {name}, which is no LoRA or DoRA tensor",
                where=path,
                fix=_EXPORT_AGAIN,
            )
        modules.setdefault(match["module"], {})[match["side"] or "magnitude"] = header
    parts = {"lora_A", "lora_B"} | ({"magnitude"} if manifest.adapter.use_dora else set())
    rank = manifest.adapter.rank
    for module, found in modules.items():
        if set(found) != parts:
            raise UserError(
                f"{module} has {', '.join(sorted(found))}, expected {', '.join(sorted(parts))} (use_dora = {manifest.adapter.use_dora})",
                where=path,
                fix=_EXPORT_AGAIN,
            )
        a, b = found["lora_A"].shape, found["lora_B"].shape
        fits = (
            len(a) == len(b) == 2
            and a[0] == b[1] == rank
            and ("magnitude" not in found or found["magnitude"].shape == (b[0],))
        )
        if not fits:
            raise UserError(
                f"{module} has A {a} and B {b}, which is no rank-{rank} update", where=path, fix=_EXPORT_AGAIN
            )
        if module.rsplit(".", 1)[-1] not in manifest.adapter.target_modules:
            raise UserError(
                f"{module} is adapted, but the manifest's target modules do not name it", where=path, fix=_EXPORT_AGAIN
            )


def _require_what_the_manifest_counts(
    path: Path, tensors: Mapping[str, TensorHeader], manifest: AdapterManifest
) -> None:
    """The manifest's figures are those of the file, its method is that of the adapter, and the adapter does something."""
    adapter = manifest.adapter
    values = sum(math.prod(header.shape) for header in tensors.values())
    layers = {int(found[1]) for name in tensors if (found := _LAYER.search(name))}
    depth = len(layers) if adapter.layers is None else adapter.layers
    zero = [part for part in ("lora_A", "lora_B") if _all_zero(tensors, part)]
    for wrong, fault in (
        (
            len(tensors) != adapter.tensors or not tensors,
            f"adapter_model.safetensors holds {len(tensors)} tensors, the manifest says {adapter.tensors}",
        ),
        (
            values != adapter.parameters,
            f"adapter_model.safetensors holds {values:,} values, the manifest says {adapter.parameters:,}",
        ),
        (
            any(layer >= depth for layer in layers),
            f"adapter_model.safetensors adapts layer {max(layers, default=0)}, the base has {depth}",
        ),
        (
            uses_dora(manifest.method) != adapter.use_dora
            or (adapter.echo_parameters > 0 and not uses_echo(manifest.method)),
            f"the manifest's method is {manifest.method}, which the adapter is not",
        ),
        (bool(zero), f"every {' and '.join(zero)} is zero: this adapter is its base model"),
    ):
        if wrong:
            raise UserError(fault, where=path, fix=_EXPORT_AGAIN)


def _all_zero(tensors: Mapping[str, TensorHeader], part: str) -> bool:
    return all(header.all_zero for name, header in tensors.items() if name.endswith(f"{part}.weight"))
