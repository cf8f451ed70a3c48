"""A policy's checks on one suite: each yields pass, rejected or inconclusive, with a reason for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from evaluator.comparison.bootstrap import Distribution, require_scores, resample_mean
from evaluator.comparison.clusters import clusters_of
from evaluator.comparison.paired import PairedResult, Resampling
from evaluator.comparison.same_questions import Part, average_of_sets, task_sets
from evaluator.comparison.scored_run import ScoredRun
from evaluator.comparison.significance import minimum_detectable_effect
from evaluator.scoring.metrics import wilson_interval
from schemas.errors import UserError
from schemas.evaluation.contradictions import baseline_name
from schemas.evaluation.decision import decide, decide_rate
from schemas.evaluation.eval_report import EvalReport, Interval, TaskScore
from schemas.evaluation.gate_policy import (
    Baseline,
    Floor,
    NonInferiority,
    Subject,
    SuitePolicy,
    Superiority,
    TrainedAsScored,
    Unparsed,
)
from schemas.evaluation.verdict import CheckResult

MACRO = "macro"


@dataclass(frozen=True)
class Case:
    """All that a suite's checks may look at."""

    candidate: ScoredRun
    """The adapter under test; of several seeds, the first named: the one that would be served."""
    comparisons: Mapping[Baseline, Sequence[PairedResult]]
    """Paired results by baseline: of the candidate by itself and, where it has further seeds, of its configuration.
    `baseline` is absent where the policy needs none."""
    settings: Resampling
    """Level and seed of the intervals."""

    @property
    def report(self) -> EvalReport:
        """The candidate's report."""
        return self.candidate.evaluation.report

    @property
    def suite(self) -> str:
        """Name of the suite."""
        return self.report.suite

    def members(self, subject: str) -> list[str]:
        """The tasks of `macro`, of a group, or the task itself."""
        return list(self.report.tasks) if subject == MACRO else list(self.report.groups.get(subject, [subject]))

    def score(self, task: str) -> TaskScore:
        """The candidate's score on one task."""
        return self.report.tasks[task].variants[self.candidate.variant]


def apply_checks(policy: SuitePolicy, case: Case) -> Iterator[CheckResult]:
    """Every check of one suite's policy, in the policy's order.

    Raises:
        UserError: a check names an unknown task, or a majority floor where there is none.
    """
    for check in policy.checks:
        if isinstance(check, Unparsed):
            yield from _unparsed(check, case)
        elif isinstance(check, TrainedAsScored):
            yield _trained_as_scored(case)
        elif isinstance(check, Floor):
            yield from _floors(check, case)
        else:
            yield from _differences(check, case)


def subjects(over: Subject, report: EvalReport) -> list[str]:
    """The subjects a check speaks of: `macro`, or tasks and groups by name.

    Raises:
        UserError: a name is neither `macro` nor among the suite's tasks and groups, or each group is asked for and there is none.
    """
    if over == "macro":
        return [MACRO]
    if over == "each_task":
        return list(report.tasks)
    if over == "each_group" and not report.groups:
        raise UserError(
            f"`over: each_group`, and the suite {report.suite} has no groups", fix="say `each_task` or `macro`"
        )
    if over == "each_group":
        return list(report.groups)
    known = [MACRO, *report.tasks, *report.groups]
    unknown = [name for name in over if name not in known]
    if unknown:
        close = get_close_matches(unknown[0], known, n=1)
        raise UserError(
            f"the policy names unknown tasks: {', '.join(unknown)}",
            where=f"this suite has {', '.join(known[1:])}",
            fix=f"did you mean {close[0]}?" if close else "name tasks or groups of the suite",
        )
    return list(over)


def _differences(check: Superiority | NonInferiority, case: Case) -> Iterator[CheckResult]:
    threshold = check.margin / 100 if isinstance(check, Superiority) else -check.margin / 100
    for result in case.comparisons[check.against]:
        names = subjects(check.over, case.report)
        for name in names:
            yield _difference(check, case, result, name, threshold, _simultaneous(case.settings.confidence, len(names)))


def _difference(
    check: Superiority | NonInferiority,
    case: Case,
    result: PairedResult,
    name: str,
    threshold: float,
    confidence: float,
) -> CheckResult:
    distribution = _difference_in(result, name)
    interval = distribution.interval(confidence)
    effect = minimum_detectable_effect(distribution, confidence)
    baseline = baseline_name([one.name for one in result.baselines])
    whose = f" over {len(result.candidates)} seeds" if len(result.candidates) > 1 else ""
    return CheckResult(
        suite=case.suite,
        candidates=tuple(one.name for one in result.candidates),
        kind=check.kind,
        subject=name,
        against=baseline,
        decision=decide(interval, threshold),
        reason=f"{_title(name)}{whose}: {distribution.estimate * 100:+z.1f} points against {baseline}, "
        f"{_interval(interval, '+')} {_position(interval, threshold, '+')}; detectable here: {effect * 100:.1f} points",
        estimate=distribution.estimate,
        interval=interval,
        threshold=threshold,
        minimum_detectable_effect=effect,
    )


def _difference_in(result: PairedResult, name: str) -> Distribution:
    if name == MACRO:
        return result.macro
    return result.groups[name] if name in result.groups else result.tasks[name].distribution


def _floors(check: Floor, case: Case) -> Iterator[CheckResult]:
    names = subjects(check.over, case.report)
    confidence = _simultaneous(case.settings.confidence, len(names))
    for name in names:
        threshold = _minimum(check, name, case)
        estimate, interval = _own_score(name, case, confidence)
        yield CheckResult(
            suite=case.suite,
            candidates=(case.candidate.name,),
            kind="floor",
            subject=name,
            against=None,
            decision=decide(interval, threshold),
            reason=f"{_title(name)}: {estimate * 100:.1f} %, {_interval(interval)} {_position(interval, threshold)}",
            estimate=estimate,
            interval=interval,
            threshold=threshold,
            minimum_detectable_effect=None,
        )


def _unparsed(check: Unparsed, case: Case) -> Iterator[CheckResult]:
    limit = check.limit / 100
    for name in case.report.tasks:
        score = case.score(name)
        rate = score.unparsed / score.total
        yield CheckResult(
            suite=case.suite,
            candidates=(case.candidate.name,),
            kind="unparsed",
            subject=name,
            against=None,
            decision=decide_rate(rate, limit),
            reason=f"{name}: {score.unparsed} of {score.total} answers unparsed ({rate:.1%}), "
            f"{'within' if rate <= limit else 'over'} the limit of {limit:.1%}",
            estimate=rate,
            interval=None,
            threshold=limit,
            minimum_detectable_effect=None,
        )


def _trained_as_scored(case: Case) -> CheckResult:
    differences = case.report.prompt_differences
    if differences is None:
        raise UserError(
            f"whether {case.candidate.name} is asked as it was trained on {case.suite} is unknown, so there can be no verdict",
            where=case.candidate.evaluation.run.root,
            fix="evaluate again with this release; an adopted adapter must say at `adopt` which template trained it",
        )
    reason = "; ".join(differences) or "every task asks in the words that the adapter was trained with"
    return CheckResult(
        suite=case.suite,
        candidates=(case.candidate.name,),
        kind="trained_as_scored",
        subject=MACRO,
        against=None,
        decision=decide_rate(len(differences), 0),
        reason=reason[0].upper() + reason[1:],
        estimate=len(differences),
        interval=None,
        threshold=0.0,
        minimum_detectable_effect=None,
    )


def _minimum(check: Floor, name: str, case: Case) -> float:
    if check.minimum is not None:
        return check.minimum / 100
    records, chosen = case.report.tasks, case.members(name)
    without = [task for task in chosen if records[task].floor is None]
    if without:
        raise UserError(
            f"`above_majority` needs a majority class, which {', '.join(without)} does not have",
            where=f"floor check of the suite {case.suite}",
            fix="give a `minimum`, or name the tasks that have one",
        )
    majority = float(np.mean([records[task].floor for task in chosen]))
    return majority + (check.above_majority or 0.0) / 100


def _own_score(name: str, case: Case, confidence: float) -> tuple[float, Interval]:
    if name == MACRO or name in case.report.groups:
        mean = own_average(case.candidate, case.members(name), case.settings)
        return mean.estimate, mean.interval(confidence)
    score, samples = case.score(name), case.candidate.samples(name)
    if not score.partial and len(set(clusters_of(samples.values()))) == len(samples):
        return score.score, wilson_interval(score.correct, score.total, confidence)
    distribution = _own_task(case.candidate, name, case.settings, np.random.default_rng(case.settings.seed))
    return distribution.estimate, distribution.interval(confidence)


def own_macro(scored_run: ScoredRun, settings: Resampling) -> Distribution:
    """Bootstrap distribution of one scored_run's macro average."""
    return own_average(scored_run, list(scored_run.evaluation.report.tasks), settings)


def own_average(scored_run: ScoredRun, tasks: Sequence[str], settings: Resampling) -> Distribution:
    """Bootstrap distribution of the average of some tasks, stratified by task, clustered where clusters are given."""
    generator = np.random.default_rng(settings.seed)

    def alone(name: str) -> Distribution:
        return _own_task(scored_run, name, settings, generator)

    sets = task_sets(scored_run, tasks)
    return average_of_sets(sets, alone, lambda name: _own_part(scored_run, name), (0.0, 1.0), generator)


def _own_part(scored_run: ScoredRun, name: str) -> Part:
    samples = scored_run.samples(name)
    ordered = [samples[item] for item in sorted(samples)]
    values = np.array([sample.value for sample in ordered])
    require_scores(name, values)
    return values, clusters_of(ordered)


def _own_task(scored_run: ScoredRun, name: str, settings: Resampling, generator: np.random.Generator) -> Distribution:
    values, clusters = _own_part(scored_run, name)
    return resample_mean(values, clusters, bounds=(0.0, 1.0), resamples=settings.resamples, generator=generator)


def _simultaneous(confidence: float, count: int) -> float:
    """Bonferroni: over `count` subjects all intervals hold together with the wanted confidence."""
    return 1 - (1 - confidence) / count


def _title(name: str) -> str:
    return "macro average" if name == MACRO else name


def _interval(interval: Interval, sign: str = "") -> str:
    return f"{interval.level * 100:.4g} % interval [{interval.low * 100:{sign}.1f}, {interval.high * 100:{sign}.1f}]"


def _position(interval: Interval, threshold: float, sign: str = "") -> str:
    where = {"pass": "all above", "rejected": "all below", "inconclusive": "on both sides of"}
    return f"{where[decide(interval, threshold)]} {threshold * 100:{sign}.1f}"
