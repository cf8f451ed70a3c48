"""The gate's verdict on a run, as far as it still speaks of the adapter that was evaluated."""

from __future__ import annotations

from evaluator.comparison.scored_run import Evaluation
from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict


def current_verdict(evaluation: Evaluation) -> Verdict | None:
    """The verdict in the run directory; None where there is none, or where it judged other weights or another report."""
    try:
        verdict = Verdict.read(evaluation.run.verdict)
    except UserError:
        return None
    rests_on = {one.report_sha256 for one in verdict.evidence if one.suite == evaluation.report.suite}
    of_this_adapter = verdict.adapter == evaluation.report.adapter
    return verdict if of_this_adapter and evaluation.report_sha256 in rests_on else None
