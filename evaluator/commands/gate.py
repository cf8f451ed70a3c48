"""python -m evaluator gate RUN --against RUN2 --policy FILE: may this adapter be served?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from evaluator.comparison.paired import PairedResult, Resampling, compare_pair
from evaluator.comparison.pairing import BASE, adapter_of, baselines_of, require_baselines, require_complete
from evaluator.comparison.scored_run import ScoredRun, read_evaluation, suites_of
from evaluator.gate.checks import Case, apply_checks
from evaluator.gate.junit import to_junit
from evaluator.gate.markdown import to_markdown
from evaluator.gate.table import print_verdict
from schemas.document import write_atomically
from schemas.errors import INCONCLUSIVE, OK, REJECTED, UserError
from schemas.evaluation.decision import worst
from schemas.evaluation.eval_report import AdapterReference
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import CheckResult, Evidence, PolicyReference, Verdict
from schemas.run_directory import RunDirectory

EXIT_CODES = {"pass": OK, "rejected": REJECTED, "inconclusive": INCONCLUSIVE}


def main(argv: list[str]) -> int:
    """Parses, judges, writes verdict.json, verdict.junit.xml and verdict.md, prints; returns 0, 3 or 4."""
    arguments = _parser().parse_args(argv)
    policy = GatePolicy.from_yaml(arguments.policy)
    verdict = gate(arguments.runs, arguments.against, policy, arguments.suite)
    paths = write_verdict(verdict, RunDirectory(arguments.runs[0]))
    console = Console()
    print_verdict(verdict, console)
    for path in paths:
        console.print(f"wrote {path}", style="dim", highlight=False, markup=False, soft_wrap=True)
    return EXIT_CODES[verdict.decision]


def gate(
    runs: Sequence[Path], against: Sequence[str], policy: GatePolicy, suites: Sequence[str] | None = None
) -> Verdict:
    """Judges the first run under a policy; further runs are other seeds of its configuration.

    Args:
        runs: run directories, the one to be served first.
        against: the baseline: run directories (seeds of one configuration), or `base`, or nothing.
        policy: the conditions.
        suites: the policy's suites to judge; None takes all that are required or evaluated.

    Raises:
        UserError: anything is missing, changed, incomparable or unscored. There is then no verdict at all.
    """
    _require_sensible(runs, against, policy)
    judged = _select_suites(policy, runs[0], suites)
    settings = Resampling(policy.confidence, policy.resamples, policy.seed)
    scored_runs: list[ScoredRun] = []
    comparisons: list[PairedResult] = []
    checks: list[CheckResult] = []
    for suite in judged:
        conditions = policy.suites[suite]
        candidates = [adapter_of(read_evaluation(run, suite)) for run in runs]
        baselines = baselines_of(candidates[0], against, suite)
        present = [*candidates, *(one for group in baselines.values() for one in group)]
        require_complete(present, conditions)
        require_baselines(conditions, baselines, candidates[0])
        results = {name: _compare(candidates, group, settings) for name, group in baselines.items()}
        comparisons += [result for of_baseline in results.values() for result in of_baseline]
        if list(against) == [BASE]:
            results["baseline"] = results["base"]
        checks += apply_checks(conditions, Case(candidates[0], results, settings))
        scored_runs += present
    return _verdict(policy, against, judged, scored_runs, comparisons, checks)


def _compare(
    candidates: Sequence[ScoredRun], baseline: Sequence[ScoredRun], settings: Resampling
) -> tuple[PairedResult, ...]:
    """The adapter by itself, since it alone is served, and beside it the configuration that its seeds speak for."""
    groups = [candidates[:1], candidates] if len(candidates) > 1 else [candidates]
    return tuple(compare_pair(group, baseline, settings) for group in groups)


def write_verdict(verdict: Verdict, run: RunDirectory) -> tuple[Path, Path, Path]:
    """Writes the three forms beside each other, the document that servers read last."""
    return (
        write_atomically(run.verdict.with_suffix(".junit.xml"), to_junit(verdict)),
        write_atomically(run.verdict.with_suffix(".md"), to_markdown(verdict).encode()),
        verdict.write(run.verdict),
    )


def _require_sensible(runs: Sequence[Path], against: Sequence[str], policy: GatePolicy) -> None:
    named = [*map(str, runs), *against]
    resolved = [Path(name).resolve() for name in named if name != BASE]
    if len(set(resolved)) != len(resolved):
        raise UserError("a run is named twice", where=" ".join(named), fix="compare different runs")
    if BASE in against and len(against) > 1:
        raise UserError("the base model and runs cannot be one baseline", where=" ".join(against))
    if policy.needs_baseline and not against:
        raise UserError(
            f"the policy {policy.name} compares with a baseline, and none is named",
            fix="add --against RUN2, or --against base",
        )


def _select_suites(policy: GatePolicy, run: Path, wanted: Sequence[str] | None) -> list[str]:
    present = suites_of(run)
    required = [name for name, suite in policy.suites.items() if suite.required]
    judged = [name for name in policy.suites if name in required or name in present] if wanted is None else list(wanted)
    unknown = [name for name in judged if name not in policy.suites]
    if unknown:
        raise UserError(
            f"the policy {policy.name} has no suite {unknown[0]!r}", where=f"it has {', '.join(policy.suites)}"
        )
    left_out = [name for name in required if name not in judged]
    if left_out:
        raise UserError(
            f"the policy {policy.name} requires {', '.join(left_out)}", fix="name them too, or leave --suite out"
        )
    missing = [name for name in judged if name not in present]
    if missing:
        raise UserError(
            f"not evaluated on {', '.join(missing)}, so there can be no verdict",
            where=run,
            fix="; ".join(f"python -m evaluator {run} --suite {name}" for name in missing),
        )
    return list(dict.fromkeys(judged))


def _verdict(
    policy: GatePolicy,
    against: Sequence[str],
    judged: Sequence[str],
    scored_runs: Sequence[ScoredRun],
    comparisons: Sequence[PairedResult],
    checks: Sequence[CheckResult],
) -> Verdict:
    adapter = scored_runs[0].evaluation.report.adapter
    decision = worst(check.decision for check in checks)
    return Verdict(
        created=datetime.now(UTC),
        adapter=AdapterReference.model_validate(adapter),
        against=tuple(against),
        policy=PolicyReference(
            name=policy.name, description=policy.description, sha256=policy.sha256(), text=policy.to_json()
        ),
        decision=decision,
        reason=_reason(checks),
        checks=tuple(checks),
        comparisons=tuple(result.document for result in comparisons),
        suites_left_out=tuple(name for name in policy.suites if name not in judged),
        evidence=_evidence(scored_runs),
    )


def _reason(checks: Sequence[CheckResult]) -> str:
    decision = worst(check.decision for check in checks)
    decisive = [check for check in checks if check.decision == decision]
    if decision == "pass":
        against = [check.reason for check in checks if check.against][:2] or [checks[0].reason]
        return f"All {len(checks)} checks pass. {'. '.join(against)}."
    verb = "fails" if decision == "rejected" else "cannot be decided on this sample"
    more = f", and {len(decisive) - 1} more" if len(decisive) > 1 else ""
    return f"{decisive[0].kind.replace('_', '-').capitalize()} {verb}{more}. {decisive[0].reason}."


def _evidence(scored_runs: Sequence[ScoredRun]) -> tuple[Evidence, ...]:
    evaluations = {id(one.evaluation): one.evaluation for one in scored_runs}
    return tuple(
        Evidence(
            run=one.name,
            suite=one.report.suite,
            report_sha256=one.report_sha256,
            samples_sha256=one.report.samples_sha256,
        )
        for one in evaluations.values()
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator gate",
        description="Judges an adapter under a policy, by paired tests on the same items. Writes verdict.json, "
        "verdict.junit.xml and verdict.md into the run directory.",
        epilog="exit codes: 0 pass, 3 rejected, 4 inconclusive, 2 no verdict possible (nothing is written)",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run to judge; more RUNs are its other seeds")
    parser.add_argument(
        "--against",
        nargs="+",
        default=(),
        metavar="RUN2",
        help="what it is compared with: a run, several seeds of one, or the word base",
    )
    parser.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="such as configs/policies/release.yaml"
    )
    parser.add_argument("--suite", nargs="+", metavar="NAME", help="judge only these suites of the policy")
    return parser
