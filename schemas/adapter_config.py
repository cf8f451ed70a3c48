"""Reads adapter_config.json and believes nothing: only what a plain LoRA or DoRA of the manifest's shape says is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.storage.json_files import parse_json
from schemas.training.adapter_manifest import AdapterManifest

_EXPORT_AGAIN = "export the adapter again: run the trainer on the run's config.yaml"
# All keys but ours must hold a value that changes nothing.
_HARMLESS: Mapping[str, object] = {
    "bias": "none", "init_lora_weights": True, "megatron_core": "megatron.core", "qalora_group_size": 16,
}  # fmt: skip


def parse_adapter_config(blob: bytes, manifest: AdapterManifest, *, where: Path) -> Mapping[str, Any]:
    """The keys of adapter_config.json.

    Raises:
        UserError: it is no JSON object, says something else than the manifest, or sets what a plain adapter does not use.
    """
    config = parse_json(blob, "adapter_config.json", where=where, fix=_EXPORT_AGAIN)
    if not isinstance(config, dict):
        raise UserError("adapter_config.json is not an object", where=where, fix=_EXPORT_AGAIN)
    said = _said_by(manifest)
    for key, accepted in said.items():
        if _plain(config.get(key)) not in accepted:
            raise UserError(
                f"adapter_config.json says {key} = {config.get(key)!r:.200}, the manifest says {accepted[0]!r}",
                where=where,
                fix=_EXPORT_AGAIN,
            )
    for key, value in config.items():
        if key not in {*said, "lora_dropout"} and not _changes_nothing(key, value):
            raise UserError(
                f"adapter_config.json sets {key[:80]} = {value!r:.200}, which a plain adapter does not use", where=where
            )
    return config


def _said_by(manifest: AdapterManifest) -> Mapping[str, tuple[object, ...]]:
    """The values that the manifest allows each key; the first is what an export of this release writes."""
    adapter, base = manifest.adapter, manifest.base
    return {
        "peft_type": ("LORA",),
        "task_type": ("CAUSAL_LM",),  # without it PEFT imports whatever module `auto_mapping` names
        "base_model_name_or_path": (base.name,),
        "inference_mode": (True,),
        "r": (adapter.rank,),
        "lora_alpha": (adapter.alpha,),
        "use_dora": (adapter.use_dora,),
        "target_modules": (sorted(adapter.target_modules),),
        "peft_version": (None, manifest.versions.get("peft")),
        # Earlier exports wrote the branch that the config named.
        "revision": (base.revision, None, "main") if base.revision else (None,),
        # Of no effect where nothing is trained; earlier manifests do not have it.
        **({} if adapter.dropout is None else {"lora_dropout": (adapter.dropout,)}),
    }


def _plain(value: object) -> object:
    """The value, names in a list in their order."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return sorted(value)
    return value


def _changes_nothing(key: str, value: object) -> bool:
    return value in (None, False, {}, []) or _HARMLESS.get(key) == value
