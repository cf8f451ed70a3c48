"""The structural proof: two adapters that agree in all this make the server do exactly the same work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.adapter_reader import VerifiedAdapter
from schemas.serving.overhead_report import StructuralCheck

# What names an adapter, and not what it computes.
_NAMES = {"base_model_name_or_path", "revision", "peft_version", "lora_dropout", "inference_mode"}


def compare_structure(
    candidate: VerifiedAdapter, baseline: VerifiedAdapter, applied: tuple[Sequence[str], Sequence[str]]
) -> tuple[StructuralCheck, ...]:
    """Every property, whether they agree in it, and how not.

    Args:
        applied: names of the tensors that the server's workers hold for each, as attested.
    """
    a, b = candidate.manifest.adapter, baseline.manifest.adapter
    headers = [{name: (h.shape, h.dtype) for name, h in adapter.tensors.items()} for adapter in (candidate, baseline)]
    size = [adapter.manifest.files["adapter_model.safetensors"].size for adapter in (candidate, baseline)]
    config = [_config(adapter.config) for adapter in (candidate, baseline)]
    return (
        _same("tensor names", sorted(headers[0]), sorted(headers[1]), f"{len(headers[0])} tensors"),
        _same("tensor shapes and dtypes", headers[0], headers[1], f"{a.parameters:,} values"),
        _same("rank", a.rank, b.rank, str(a.rank)),
        _same("configuration", config[0], config[1], f"{len(config[0])} keys, sorted lists, names aside"),
        _same("bytes of weights", size[0], size[1], f"{size[0]:,} bytes"),
        _same("tensors in the kernels' buffers", sorted(applied[0]), sorted(applied[1]), f"{len(applied[0])} tensors"),
    )


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(value) if isinstance(value, list) else value for key, value in config.items() if key not in _NAMES
    }


def _same(what: str, a: Any, b: Any, detail: str) -> StructuralCheck:
    if a == b:
        return StructuralCheck(what=what, same=True, detail=detail)
    if isinstance(a, Mapping):
        odd = [key for key in {*a, *b} if a.get(key) != b.get(key)]
        difference = ", ".join(f"{key}: {a.get(key)} / {b.get(key)}" for key in sorted(odd)[:3])
    elif isinstance(a, list):
        difference = ", ".join(sorted(set(a) ^ set(b))[:3])
    else:
        difference = f"{a} / {b}"
    return StructuralCheck(what=what, same=False, detail=f"candidate / baseline: {difference}")
