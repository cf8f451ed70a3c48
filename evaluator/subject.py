"""What is evaluated: a verified adapter on the base it was trained for, or a base model alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.adapter_reader import VerifiedAdapter, read_adapter
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.eval_report import AdapterReference, BaseReference, Variant
from schemas.find_base import BaseModelFiles, find_base, find_trained_base
from schemas.run_directory import RunDirectory

Dtype = Literal["float32", "bfloat16", "float16"]
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Base:
    """A base model on the disk."""

    reference: BaseReference
    """Its name, revision and fingerprints."""
    directory: Path
    """Where its files are."""
    tokenizer_sha256: str
    """Hash over its tokenizer's files."""


@dataclass(frozen=True)
class Subject:
    """One thing to score."""

    run: RunDirectory
    """The run directory that receives the report."""
    base: Base
    """The base model, scored as a control."""
    adapter: VerifiedAdapter | None
    """The verified adapter; None scores the base alone."""
    dtype: Dtype
    """Type of the base's weights while scoring."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.adapter.manifest.name if self.adapter else self.run.root.name

    def identity(self, variant: Variant) -> str:
        """What a variant's answers depend on: hashes of weights, configuration and tokenizer, never a name."""
        base = self.base
        parts = [base.reference.config_sha256, base.reference.weights_sha256, base.tokenizer_sha256, self.dtype]
        if variant == "adapter":
            assert self.adapter is not None
            files = self.adapter.manifest.files
            parts += [files[name].sha256 for name in ("adapter_config.json", "adapter_model.safetensors")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def adapter_reference(self) -> AdapterReference | None:
        """The adapter as reports name it."""
        if self.adapter is None:
            return None
        manifest = self.adapter.manifest
        return AdapterReference(
            name=manifest.name, method=manifest.method, manifest_sha256=self.adapter.manifest_sha256
        )


def adapter_subject(run: Path, base: str | None, dtype: Dtype | None) -> Subject:
    """Verifies a run's adapter and finds the base it was trained for.

    Args:
        run: the run directory.
        base: where the base is now, if it moved since training; None takes the manifest's name.
        dtype: None takes the type that the base had in training.

    Raises:
        UserError: the adapter does not verify, or the base is missing or another one.
    """
    adapter = read_adapter(RunDirectory(run).adapter)
    trained_on = adapter.manifest.base
    found = _base(find_trained_base(trained_on, base), base or trained_on.name)
    same = (found.reference.config_sha256, found.reference.weights_sha256) == (
        trained_on.config_sha256,
        trained_on.weights_sha256,
    )
    if not same:
        raise UserError(
            f"the adapter was trained on another base model: the fingerprints of {found.reference.name} differ from the manifest's",
            where=found.directory,
            fix=f"give the base it was trained on ({trained_on.name}) with --base",
        )
    return Subject(RunDirectory(run), found, adapter, dtype or trained_on.dtype)


def base_subject(model: str, runs: Path, dtype: Dtype | None) -> Subject:
    """A base model alone: a run directory stands for its adapter's base, anything else for a model.

    Its report goes to `<runs>/base-<model>`, the model named by the last two parts of its path or repository.

    Raises:
        UserError: no such model.
    """
    manifest = RunDirectory(Path(model)).manifest
    if manifest.is_file():
        subject = adapter_subject(Path(model), None, dtype)
        base, dtype = subject.base, subject.dtype
    else:
        base = _base(find_base(model), model)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(base.reference.name.rstrip("/").split("/")[-2:])).strip("-.")
    return Subject(RunDirectory(runs / f"base-{slug}"), base, None, dtype or "float32")


def _base(files: BaseModelFiles, name: str) -> Base:
    """The base with its fingerprints and its tokenizer's.

    Raises:
        UserError: it has no tokenizer.
    """
    directory = files.directory
    tokenizer = [directory / file for file in _TOKENIZER_FILES if (directory / file).is_file()]
    if not tokenizer:
        raise UserError("the base model has no tokenizer", where=directory, fix="save the tokenizer beside the model")
    reference = BaseReference(
        name=name,
        revision=files.revision,
        config_sha256=files.config_sha256(),
        weights_sha256=files.weights_sha256(),
    )
    digest = hashlib.sha256("".join(f"{file.name}\0{sha256_of(file)}\n" for file in tokenizer).encode())
    return Base(reference, directory, digest.hexdigest())
