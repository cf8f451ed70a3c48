"""Decides whether runs may be served at all, before anything heavy starts: files, signatures, verdicts, base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.adapter_reader import VerifiedAdapter, read_adapter
from schemas.base.base_model import BaseIdentity
from schemas.base.find_base import find_trained_base
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from serving.engine.adapter_cache import store_adapter
from serving.options import VerdictRule, cache_directory
from serving.verify.base import require_base
from serving.verify.signature import adapter_signature, require_signature
from serving.verify.verdict import require_verdict
from serving.verify.whole_base import require_whole_base


@dataclass(frozen=True)
class Candidate:
    """A run whose adapter is whole, whose verdict allows it, and whose base model is at hand."""

    run: RunDirectory
    """Where it came from."""
    adapter: VerifiedAdapter
    """The adapter as verified."""
    stored: Path
    """Private copy of exactly the verified bytes: whatever loads the adapter loads this."""
    base: Path
    """Local directory of the base model."""
    base_identity: BaseIdentity
    """What that base is, from its files: nothing that the manifest records of it differs."""
    verdict_sha256: str | None
    """Hash of the verdict's file; None where there is none (`--ungated`)."""

    @property
    def name(self) -> str:
        """The model name clients use."""
        return self.adapter.manifest.name


@dataclass(frozen=True)
class _ReadRun:
    run: RunDirectory
    adapter: VerifiedAdapter
    stored: Path
    verdict_sha256: str | None


def verify_runs(
    runs: tuple[Path, ...], *, base: Path | None, verdict_rule: VerdictRule, verify_key: Path | None = None
) -> tuple[Candidate, ...]:
    """Verifies every run, and that one server can serve them all.

    Raises:
        UserError: what is wrong with the first run that cannot be served.
    """
    read = [_read_run(RunDirectory(run), verdict_rule, verify_key) for run in runs]
    _require_one_server(read)
    files = find_trained_base(read[0].adapter.manifest.base, base)
    found = files.identity()
    for one in read:
        require_base(found, one.adapter.manifest.base, directory=files.directory, wanted_by=one.run)
    require_whole_base(files.directory)
    directory = files.directory.resolve()
    return tuple(Candidate(one.run, one.adapter, one.stored, directory, found, one.verdict_sha256) for one in read)


def _refuse_controls(run: RunDirectory, adapter: VerifiedAdapter) -> None:
    """What a study trained to compare with is nobody's product, whatever a verdict says."""
    training = adapter.manifest.training
    if training is not None and training.study_control:
        raise UserError(
            "this adapter is a study's control, trained with echo.content: oracle, and is not served",
            where=run.adapter,
            fix="serve a run that was trained with another echo.content",
        )


def _read_run(run: RunDirectory, verdict_rule: VerdictRule, verify_key: Path | None) -> _ReadRun:
    """Verifies, copies what was verified, and asks for the signature of the copy: files may change, hashes do not."""
    adapter = read_adapter(run.adapter)
    _refuse_controls(run, adapter)
    stored = store_adapter(adapter, cache_directory())
    if verify_key is not None:
        require_signature(stored, adapter_signature(run), verify_key)
    verdict = require_verdict(run, adapter, verdict_rule=verdict_rule, verify_key=verify_key)
    return _ReadRun(run, adapter, stored, verdict)


def _require_one_server(runs: list[_ReadRun]) -> None:
    """One vLLM serves one set of base weights, and each name once."""
    first = runs[0].adapter.manifest.base
    names = {first.name}
    for one in runs:
        manifest = one.adapter.manifest
        if first.changes(manifest.base):
            raise UserError(
                f"{one.run.root} has another base model than {runs[0].run.root}; one server holds one base",
                where=one.run.manifest,
                fix="start a server of its own for it, on another --port",
            )
        if manifest.name in names:
            raise UserError(
                f"two models would answer to the name {manifest.name}", where=one.run.manifest, fix="serve one of them"
            )
        names.add(manifest.name)
