"""Decides whether a run may be served at all, before anything heavy starts: files, verdict, base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.adapter_reader import VerifiedAdapter, read_adapter
from schemas.base_model import config_fingerprint, weights_fingerprint
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict
from schemas.find_base import find_trained_base
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import BaseModelRecord
from serving.verify.signature import require_signature

VerdictRule = Literal["require", "if_present", "ignore"]


@dataclass(frozen=True)
class Candidate:
    """A run whose adapter is whole, whose verdict allows it, and whose base model is at hand.

    Attributes:
        base: local directory of the base model, its fingerprints equal to the manifest's.
        verdict_sha256: hash of the verdict's file; None where there is none (`--ungated`).
    """

    run: RunDirectory
    adapter: VerifiedAdapter
    base: Path
    verdict_sha256: str | None

    @property
    def name(self) -> str:
        """The model name clients use."""
        return self.adapter.manifest.name


def verify_runs(
    runs: tuple[Path, ...], *, base: Path | None, verdict_rule: VerdictRule, verify_key: Path | None = None
) -> tuple[Candidate, ...]:
    """Verifies every run, and that one server can serve them all.

    Raises:
        UserError: what is wrong with the first run that cannot be served.
    """
    adapters = [(RunDirectory(run), read_adapter(RunDirectory(run).adapter)) for run in runs]
    if verify_key is not None:
        for run, _ in adapters:
            require_signature(run, verify_key)
    verdicts = [require_verdict(run, adapter, verdict_rule=verdict_rule) for run, adapter in adapters]
    _require_one_server(adapters)
    first_run, first = adapters[0]
    directory = find_trained_base(first.manifest.base, base).directory
    require_base(directory, first.manifest.base, wanted_by=first_run)
    return tuple(
        Candidate(run, adapter, directory.resolve(), verdict)
        for (run, adapter), verdict in zip(adapters, verdicts, strict=True)
    )


def require_verdict(run: RunDirectory, adapter: VerifiedAdapter, *, verdict_rule: VerdictRule) -> str | None:
    """The hash of a verdict that lets this adapter through; None where there is none, or none is asked for.

    Raises:
        UserError: no verdict, a verdict over another adapter, or one that is not a pass.
    """
    if verdict_rule == "ignore":
        return None
    if not run.verdict.is_file():
        if verdict_rule == "if_present":
            return None
        raise UserError(
            f"{adapter.manifest.name} has no verdict: nobody has decided that it may be served",
            where=run.verdict,
            fix=f"python -m evaluator gate {run.root} --against BASELINE_RUN --policy POLICY, or serve it with --ungated",
        )
    verdict = Verdict.read(run.verdict)
    if verdict.adapter.manifest_sha256 != adapter.manifest_sha256:
        raise UserError(
            f"the verdict was formed over another adapter (manifest {verdict.adapter.manifest_sha256[:12]}, "
            f"this one is {adapter.manifest_sha256[:12]})",
            where=run.verdict,
            fix="run the gate again; --ungated does not override a verdict",
        )
    if verdict.decision != "pass":
        raise UserError(
            f"the gate's verdict over {adapter.manifest.name} is {verdict.decision}: {verdict.reason}",
            where=run.verdict,
            fix="train or evaluate again; a verdict is not overridden, only replaced by running the gate",
        )
    return sha256_of(run.verdict)


def require_base(directory: Path, record: BaseModelRecord, *, wanted_by: RunDirectory) -> None:
    """Refuses any base but the one the adapter was trained on, by configuration and weights.

    Raises:
        UserError: a fingerprint differs.
    """
    for what, found, expected in (
        ("configuration", config_fingerprint(directory), record.config_sha256),
        ("weights", weights_fingerprint(directory), record.weights_sha256),
    ):
        if found != expected:
            raise UserError(
                f"{wanted_by.root} was trained on another base model: the {what} have fingerprint {found[:12]}, "
                f"the manifest says {expected[:12]}",
                where=directory,
                fix=f"serve it on {record.name}" + (f" at {record.revision}" if record.revision else ""),
            )


def _require_one_server(adapters: list[tuple[RunDirectory, VerifiedAdapter]]) -> None:
    """One vLLM serves one set of base weights, and each name once."""
    first = adapters[0][1].manifest.base
    names = {first.name}
    for run, adapter in adapters:
        manifest = adapter.manifest
        if (manifest.base.config_sha256, manifest.base.weights_sha256) != (first.config_sha256, first.weights_sha256):
            raise UserError(
                f"{run.root} has another base model than {adapters[0][0].root}; one server holds one base",
                where=run.manifest,
                fix="start a server of its own for it, on another --port",
            )
        if manifest.name in names:
            raise UserError(
                f"two models would answer to the name {manifest.name}", where=run.manifest, fix="serve one of them"
            )
        names.add(manifest.name)
