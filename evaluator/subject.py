"""What is evaluated: a verified adapter on the base it was trained for, or a base model alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.adapter_reader import VerifiedAdapter, read_adapter
from schemas.base.base_model import BaseIdentity, has_tokenizer
from schemas.base.find_base import BaseModelFiles, find_base, find_trained_base
from schemas.errors import UserError
from schemas.evaluation.eval_report import AdapterReference, BaseReference, Variant
from schemas.run_directory import RunDirectory

Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Base:
    """A base model on the disk."""

    reference: BaseReference
    """Its name, revision and fingerprints."""
    directory: Path
    """Where its files are."""


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

    @property
    def trained_with(self) -> str | None:
        """The prompt template of the adapter's training; None for a base alone, or where nobody knows it."""
        return self.adapter.manifest.trained_template if self.adapter else None

    @property
    def trained_prompt(self) -> str | None:
        """The prompt of the adapter's training as a Jinja text; None where there is none or it is unknown."""
        return self.adapter.manifest.trained_prompt if self.adapter else None

    def identity(self, variant: Variant) -> str:
        """What a variant's answers depend on: hashes of the base's parts and the adapter's files, never a name."""
        known = self.base.reference.model_dump(include=set(BaseIdentity.model_fields))
        parts = [*map(str, known.values()), self.dtype]
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
    if changed := trained_on.changes(found.reference):
        raise UserError(
            f"the adapter was trained on another base model: the {', '.join(changed)} of {found.reference.name} differ "
            "from what the manifest records",
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
    """The base with its fingerprints.

    Raises:
        UserError: it has no tokenizer.
    """
    directory = files.directory
    if not has_tokenizer(directory):
        raise UserError("the base model has no tokenizer", where=directory, fix="save the tokenizer beside the model")
    return Base(BaseReference(name=name, revision=files.revision, **files.identity().model_dump()), directory)
