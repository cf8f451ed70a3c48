"""The gate's verdict over an adapter, believed as far as its own numbers and the evidence at hand bear it out."""

from __future__ import annotations

import hashlib
from pathlib import Path

from schemas.adapter_reader import VerifiedAdapter
from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict
from schemas.run_directory import RunDirectory
from serving.options import VerdictRule
from serving.verify.signature import require_signed_bytes, verdict_signature

_JUDGE_AGAIN = "run the gate again; --ungated does not override a verdict"


def require_verdict(
    run: RunDirectory, adapter: VerifiedAdapter, *, verdict_rule: VerdictRule, verify_key: Path | None = None
) -> str | None:
    """The hash of a verdict that lets this adapter through; None where there is none, or none is asked for.

    Args:
        run: the run directory.
        adapter: its verified adapter.
        verdict_rule: whether a verdict must be there, and whether it is looked at.
        verify_key: public key by whose owner the verdict must be signed; None asks for no signature.

    Raises:
        UserError: no verdict, one that is not signed, contradicts its own numbers or its evidence, is over another
            adapter, or is not a pass.
    """
    if verdict_rule == "ignore" or (verdict_rule == "if_present" and not run.verdict.is_file()):
        return None
    name = adapter.manifest.name
    try:
        written = run.verdict.read_bytes()
    except OSError as error:
        raise UserError(
            f"{name} has no verdict that can be read: nobody has decided that it may be served ({error.strerror})",
            where=run.verdict,
            fix=f"python -m evaluator gate {run.root} --against BASELINE_RUN --policy POLICY, or serve it with --ungated",
        ) from None
    if verify_key is not None:
        require_signed_bytes(written, run.verdict, verdict_signature(run), verify_key)
    verdict = Verdict.from_bytes(written, where=run.verdict)
    _require_a_pass(verdict, run, adapter)
    _require_evidence(verdict, run)
    return hashlib.sha256(written).hexdigest()


def _require_a_pass(verdict: Verdict, run: RunDirectory, adapter: VerifiedAdapter) -> None:
    if verdict.adapter.manifest_sha256 != adapter.manifest_sha256:
        raise UserError(
            f"the verdict was formed over another adapter (manifest {verdict.adapter.manifest_sha256[:12]}, "
            f"this one is {adapter.manifest_sha256[:12]})",
            where=run.verdict,
            fix=_JUDGE_AGAIN,
        )
    if verdict.decision != "pass":
        raise UserError(
            f"the gate's verdict over {adapter.manifest.name} is {verdict.decision}: {verdict.reason}",
            where=run.verdict,
            fix="train or evaluate again; a verdict is not overridden, only replaced by running the gate",
        )


def _require_evidence(verdict: Verdict, run: RunDirectory) -> None:
    """Reports and samples that lie here must be those that the verdict was formed over; elsewhere they may be gone."""
    own = verdict.adapter.name
    for evidence in verdict.evidence:
        places = (
            [run.root] if evidence.run == own else [Path(n) for n in verdict.against if Path(n).name == evidence.run]
        )
        for place in places:
            folder = RunDirectory(place).evaluation(evidence.suite)
            for file, sha256 in (
                (folder / "report.json", evidence.report_sha256),
                (folder / "samples.jsonl", evidence.samples_sha256),
            ):
                if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
                    raise UserError(
                        f"{file.name} is not the one that the verdict was formed over", where=file, fix=_JUDGE_AGAIN
                    )
