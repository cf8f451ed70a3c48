"""Exports a trained adapter: exactly four files, the manifest last, the directory renamed into place when whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from schemas.adapter_reader import read_adapter
from schemas.base.base_model import read_config
from schemas.base.find_base import BaseModelFiles
from schemas.document import sync_directory
from schemas.run_directory import ADAPTER_FILES
from schemas.storage.files import remove_own, replace_directory, write_durably
from schemas.training.adapter_manifest import (
    AdapterManifest,
    AdapterRecord,
    BaseModelRecord,
    FileRecord,
    Probe,
    TrainingRecord,
)
from schemas.training.train_config import BaseModelConfig, TrainConfig
from trainer.checkpoint.own_files import STAGED_ADAPTER
from trainer.checkpoint.provenance import versions
from trainer.data.dataset import TrainingData, data_record
from trainer.export.model_card import model_card
from trainer.export.reference_logprobs import probe_examples, prove_export
from trainer.model.base_model import load_base

# What an adapter is; every PEFT since 0.9 knows these keys.
_ALWAYS_SAID = {
    "peft_type", "task_type", "base_model_name_or_path", "inference_mode", "r", "lora_alpha", "lora_dropout",
    "target_modules", "use_dora",
}  # fmt: skip


@dataclass(frozen=True)
class Export:
    """What an export needs to know besides the model."""

    config: TrainConfig
    """The run's config."""
    base: BaseModelFiles
    """The base's files."""
    tokenizer: PreTrainedTokenizerBase
    """The base's tokenizer."""
    data: TrainingData
    """The training data."""
    training: TrainingRecord
    """How the training went."""
    echo_parameters: int
    """Values trained beside the adapter and thrown away."""
    layers: int
    """The base's decoder layers."""


def export_adapter(model: PeftModel, directory: Path, export: Export) -> AdapterManifest:
    """Writes `directory` from a trained model, whose adapter is taken off in the course of it.

    Raises:
        OSError: the disk is full or gone; `directory` is untouched.
    """
    tensors = adapter_tensors(model)
    staged = directory.with_name(STAGED_ADAPTER)
    remove_own(staged, ADAPTER_FILES)
    staged.mkdir(parents=True)
    try:
        files = {
            "adapter_model.safetensors": write_durably(staged / "adapter_model.safetensors", serialize(tensors)),
            "adapter_config.json": write_durably(
                staged / "adapter_config.json", config_json(model.peft_config["default"], export.base.revision)
            ),
        }
        examples = probe_examples(export.data.validation or export.data.train)
        probes = prove_export(model, staged, examples, export.tokenizer, _unquantised(export))
        manifest = _manifest(export, tensors, files, probes)
        card = model_card(manifest, export.config)
        files["README.md"] = write_durably(staged / "README.md", card.encode())
        manifest = manifest.model_copy(update={"files": files})
        write_durably(staged / "manifest.json", manifest.to_json().encode())
        sync_directory(staged)
        read_adapter(staged)
        replace_directory(staged, directory, ADAPTER_FILES)
    except BaseException:
        remove_own(staged, ADAPTER_FILES)
        raise
    return manifest


def adapter_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """PEFT's own LoRA or DoRA set, by its names, on the CPU."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(model).items()}


def _unquantised(export: Export) -> Callable[[], PreTrainedModel] | None:
    """Loads the base as it will be served, in main memory: beside the training model a GPU may have no room for it."""
    base = export.config.base
    if base.quantization == "none":
        return None
    return lambda: load_base(export.base, base.model_copy(update={"quantization": "none"}), torch.device("cpu"))


def serialize(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of adapter_model.safetensors."""
    data: bytes = safetensors.torch.save(dict(tensors), metadata={"format": "pt"})
    return data


def config_json(config: LoraConfig, revision: str | None) -> bytes:
    """adapter_config.json with what this adapter is, and nothing that any PEFT assumes anyway.

    A key that holds its default says nothing, and a PEFT from before the key refuses to load the adapter. Sets are
    sorted, so that equal adapters are equal bytes.
    """
    chosen: dict[str, Any] = {**config.to_dict(), "inference_mode": True, "revision": revision}
    default = type(config)().to_dict()
    said = {key: value for key, value in chosen.items() if key in _ALWAYS_SAID or value != default.get(key)}
    said.pop("peft_version", None)  # itself a key that PEFT before 0.18 does not know; the manifest has it
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in said.items()}
    return (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode()


def _manifest(
    export: Export, tensors: Mapping[str, torch.Tensor], files: dict[str, FileRecord], probes: tuple[Probe, ...]
) -> AdapterManifest:
    """The manifest; the model card, which is written from it, is not among its files yet."""
    config = export.config
    return AdapterManifest(
        name=config.name,
        created=datetime.now(UTC),
        method=config.method,
        seed=config.seed,
        config_sha256=config.sha256(),
        base=base_record(config.base, export.base),
        adapter=AdapterRecord(
            use_dora=config.use_dora,
            rank=config.adapter.rank,
            alpha=config.adapter.alpha,
            target_modules=tuple(sorted(config.adapter.target_modules)),
            dropout=config.adapter.dropout,
            layers=export.layers,
            tensors=len(tensors),
            parameters=sum(tensor.numel() for tensor in tensors.values()),
            echo_parameters=export.echo_parameters,
        ),
        files=files,
        data=data_record(export.data, config.data, export.tokenizer),
        training=export.training,
        probe_dtype=config.base.dtype,
        probes=probes,
        versions=versions(),
    )


def base_record(base: BaseModelConfig, files: BaseModelFiles) -> BaseModelRecord:
    """What the manifest says of the base."""
    return BaseModelRecord(
        name=base.model,
        revision=files.revision,
        architecture=str((read_config(files.directory).get("architectures") or ["unknown"])[0]),  # type: ignore[index]
        **files.identity().model_dump(),
        dtype=base.dtype,
        quantization=base.quantization,
    )
