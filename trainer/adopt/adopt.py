"""The story of an adoption: another tool's adapter is judged, rewritten in plain form, proven, and kept as a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from peft import PeftModel
from rich.console import Console

from schemas.adapter_reader import read_adapter
from schemas.document import sync_directory
from schemas.errors import UserError
from schemas.prompt import TemplateName
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from schemas.storage.files import remove_own, replace_directory, write_durably
from schemas.training.adapter_manifest import AdapterManifest, AdapterRecord, AdoptionRecord, FileRecord, Probe
from schemas.training.train_config import BaseModelConfig
from trainer.adopt.foreign_config import ForeignConfig, read_foreign_config
from trainer.adopt.foreign_weights import WEIGHTS, ForeignWeights, read_foreign_weights
from trainer.adopt.plain_form import PlainForm, as_peft_reads, kept_config, linear_modules, plain_form
from trainer.adopt.probe_texts import probe_texts
from trainer.checkpoint.own_files import STAGED_ADAPTER, holds_a_run
from trainer.checkpoint.provenance import versions
from trainer.export.export import base_record, config_json, serialize
from trainer.export.model_card import adopted_card
from trainer.export.reference_logprobs import as_probes, logits_of
from trainer.model.base_model import Base, load_base, read_any_base

# How far logits may move where tensors were rewritten, as a share of the largest logit: rounding in the base's type.
_ROUNDING = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}


@dataclass(frozen=True)
class Adoption:
    """What the user asks for."""

    adapter: Path
    """Directory with adapter_config.json and adapter_model.safetensors."""
    base: BaseModelConfig
    """The base it was trained on, and the type that it is proven in."""
    run: RunDirectory
    """Where it goes."""
    template: TemplateName | None
    """Prompt template of its training, if the user knows it."""
    data: Path | None
    """Rows to record it on; None asks a few questions."""
    device: torch.device
    """Where the base is loaded."""


def adopt(wanted: Adoption, console: Console) -> AdapterManifest:
    """Makes a run directory of an adapter; writes nothing unless all of it stands.

    Raises:
        UserError: it is no LoRA or DoRA of this base, goes beyond it, or changes nothing; or a run is there already.
    """
    if holds_a_run(wanted.run):
        raise UserError("there is a run already", where=wanted.run.root, fix="choose another name with --name")
    # All that files alone can tell is found before the base is loaded.
    config = read_foreign_config(wanted.adapter / "adapter_config.json")
    base = read_any_base(wanted.base)
    shapes = linear_modules(base.shape.skeleton)
    weights = read_foreign_weights(wanted.adapter, shapes, use_dora=config.use_dora)

    with console.status(f"Loading {wanted.base.model}"):
        model = load_base(base.files, wanted.base, wanted.device)
    adapted = as_peft_reads(model, config, weights, wanted.adapter)
    plain = plain_form(adapted, config, weights, shapes, wanted.adapter / WEIGHTS)
    with console.status("Recording its answers, and proving what is kept"):
        return _keep(wanted, config, weights, base, adapted, plain)


def _keep(
    wanted: Adoption, config: ForeignConfig, weights: ForeignWeights, base: Base, adapted: PeftModel, plain: PlainForm
) -> AdapterManifest:
    """Writes the adapter beside its place, proves it there, and renames it into place."""
    created = not wanted.run.root.exists()
    staged = wanted.run.root / STAGED_ADAPTER
    remove_own(staged, ADAPTER_FILES)
    staged.mkdir(parents=True)
    try:
        settings = kept_config(plain, use_dora=config.use_dora, base=wanted.base.model)
        files = {
            WEIGHTS: write_durably(staged / WEIGHTS, serialize(plain.tensors)),
            "adapter_config.json": write_durably(
                staged / "adapter_config.json", config_json(settings, base.files.revision)
            ),
        }
        probes, distance = _prove(wanted, base, adapted, staged, exact=not plain.rewritten)
        adoption = AdoptionRecord(
            base_as_named=config.base_as_named,
            config_sha256=config.sha256,
            weights_sha256=weights.sha256,
            peft_version=config.peft_version,
            template=wanted.template,
            rewritten=plain.rewritten,
            distance=distance,
        )
        manifest = _manifest(wanted, config, base, plain, files, probes, adoption)
        card = adopted_card(manifest, wanted.run.root.parent)
        files["README.md"] = write_durably(staged / "README.md", card.encode())
        manifest = manifest.model_copy(update={"files": files})
        write_durably(staged / "manifest.json", manifest.to_json().encode())
        sync_directory(staged)
        read_adapter(staged)
        replace_directory(staged, wanted.run.adapter, ADAPTER_FILES)
    except BaseException:
        remove_own(staged, ADAPTER_FILES)
        if created:
            os.rmdir(wanted.run.root)
        raise
    return manifest


def _prove(
    wanted: Adoption, base: Base, adapted: PeftModel, staged: Path, *, exact: bool
) -> tuple[tuple[Probe, ...], float]:
    """Probes of the adapter as it is kept, and how far its logits are from those of the adapter as it came."""
    examples = probe_texts(adapted, base.tokenizer, wanted.template, wanted.data, base.window)
    texts = [torch.tensor([example.input_ids], device=adapted.device) for example in examples]
    as_it_came = [logits_of(adapted, text) for text in texts]
    bare = adapted.unload()
    before = [logits_of(bare, text) for text in texts]
    kept = PeftModel.from_pretrained(bare, staged).eval()
    after = [logits_of(kept, text) for text in texts]
    distance = max(float((ours - theirs).abs().max()) for ours, theirs in zip(as_it_came, after, strict=True))
    largest = max(float(logits.abs().max()) for logits in as_it_came)
    assert distance <= (0.0 if exact else _ROUNDING[wanted.base.dtype] * largest), "the kept adapter is another one"
    if all(torch.equal(without, with_it) for without, with_it in zip(before, after, strict=True)):
        raise UserError("the adapter changes no answer of its base", where=wanted.adapter, fix="train it first")
    return as_probes(examples, base.tokenizer, before, after), distance


def _manifest(
    wanted: Adoption,
    config: ForeignConfig,
    base: Base,
    plain: PlainForm,
    files: dict[str, FileRecord],
    probes: tuple[Probe, ...],
    adoption: AdoptionRecord,
) -> AdapterManifest:
    """What is known; the model card, which is written from it, is not among its files yet."""
    return AdapterManifest(
        name=wanted.run.root.name,
        created=datetime.now(UTC),
        method="dora" if config.use_dora else "lora",
        seed=None,
        config_sha256=None,
        base=base_record(wanted.base, base.files),
        adapter=AdapterRecord(
            use_dora=config.use_dora,
            rank=plain.rank,
            alpha=plain.alpha,
            target_modules=plain.targets,
            layers=base.shape.depth,
            tensors=len(plain.tensors),
            parameters=sum(tensor.numel() for tensor in plain.tensors.values()),
            echo_parameters=0,
        ),
        files=files,
        data=None,
        training=None,
        adopted=adoption,
        probe_dtype=wanted.base.dtype,
        probes=probes,
        versions=versions(),
    )
