"""What a verdict's own numbers say against it: whoever edits a decision would have to edit everything it follows from.

This catches edits, not forgers: a verdict that is invented whole, numbers and all, is told by its signature alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from schemas.errors import UserError
from schemas.evaluation.decision import decide, decide_rate, worst
from schemas.evaluation.gate_policy import (
    Check,
    Floor,
    GatePolicy,
    NonInferiority,
    SuitePolicy,
    Superiority,
    TrainedAsScored,
    Unparsed,
)

if TYPE_CHECKING:
    from schemas.evaluation.verdict import CheckResult, Comparison, Difference, Verdict

_EPSILON = 1e-9


def contradictions(verdict: Verdict) -> Iterator[str]:
    """Every sentence in which the verdict contradicts itself."""
    if verdict.decision != worst(check.decision for check in verdict.checks):
        yield "the decision is not the gravest of its checks"
    for comparison in verdict.comparisons:
        yield from _in_comparison(comparison)
    for check in verdict.checks:
        yield from (f"{_name(check)}: {fault}" for fault in _in_check(check, verdict.comparisons))
    judged = {evidence.suite for evidence in verdict.evidence if evidence.run == verdict.adapter.name}
    for suite in dict.fromkeys(check.suite for check in verdict.checks):
        if suite not in judged:
            yield f"{suite}: checked without a report of {verdict.adapter.name} among the evidence"
    if verdict.policy.text is not None:
        yield from _with_policy(verdict, verdict.policy.text)


def baseline_name(names: Sequence[str]) -> str:
    """A baseline of one or several runs, as checks call it."""
    return " + ".join(dict.fromkeys(names))


def _in_check(check: CheckResult, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The decision follows from the interval, and the figures are those of the comparison it speaks of."""
    alone = check.kind in ("floor", "unparsed", "trained_as_scored")
    if alone != (check.against is None):
        yield "its kind and its baseline do not fit"
    if check.kind in ("unparsed", "trained_as_scored"):
        expected = decide_rate(check.estimate, check.threshold)
    elif check.interval is None:
        yield "it has no interval to rest on"
        return
    else:
        expected = decide(check.interval, check.threshold)
        if not check.interval.low - _EPSILON <= check.estimate <= check.interval.high + _EPSILON:
            yield "its estimate lies outside its interval"
    if check.decision != expected:
        yield f"its decision is {check.decision}, its numbers say {expected}"
    if not alone and check.against is not None:
        yield from _against_comparison(check, _difference_of(check, comparisons))


def _against_comparison(check: CheckResult, difference: Difference | None) -> Iterator[str]:
    if difference is None:
        yield "no comparison stands behind it"
        return
    if not math.isclose(check.estimate, difference.estimate, abs_tol=_EPSILON):
        yield "its estimate is not the comparison's"
    assert check.interval is not None
    inner, outer = sorted((check.interval, difference.interval), key=lambda interval: interval.level)
    if not (outer.low <= inner.low + _EPSILON and inner.high <= outer.high + _EPSILON):
        yield "its interval does not fit the comparison's"


def _difference_of(check: CheckResult, comparisons: Sequence[Comparison]) -> Difference | None:
    for comparison in comparisons:
        sides = (comparison.suite, comparison.candidates, baseline_name(comparison.baselines))
        if sides == (check.suite, check.candidates, check.against):
            named = comparison.tasks.get(check.subject) or comparison.groups.get(check.subject)
            return comparison.macro if check.subject == "macro" else (named.difference if named else None)
    return None


def _in_comparison(comparison: Comparison) -> Iterator[str]:
    where = f"{comparison.suite}, {' + '.join(comparison.candidates)} against {baseline_name(comparison.baselines)}"
    for name, task in comparison.tasks.items():
        if not math.isclose(task.difference.estimate, task.candidate - task.baseline, abs_tol=_EPSILON):
            yield f"{where}: the difference in {name} is not that of its scores"
    mean = math.fsum(task.difference.estimate for task in comparison.tasks.values()) / len(comparison.tasks)
    if not math.isclose(comparison.macro.estimate, mean, abs_tol=_EPSILON):
        yield f"{where}: the macro difference is not the mean of the tasks'"
    for name, group in comparison.groups.items():
        parts = [comparison.tasks[task].difference.estimate for task in group.tasks if task in comparison.tasks]
        if len(parts) != len(group.tasks) or not _same(group.difference.estimate, math.fsum(parts) / len(parts)):
            yield f"{where}: the difference of the group {name} is not the mean of its tasks'"


def _with_policy(verdict: Verdict, text: str) -> Iterator[str]:
    """The policy is the one whose hash is recorded, and each of its conditions was checked at its own threshold."""
    if hashlib.sha256(text.encode()).hexdigest() != verdict.policy.sha256:
        yield "the policy's text is not of its hash"
        return
    try:
        policy = GatePolicy.from_bytes(text.encode(), where="policy")
    except UserError as error:
        yield f"the policy's text is no policy: {error.what}"
        return
    judged = {check.suite for check in verdict.checks}
    for suite, conditions in policy.suites.items():
        if conditions.required and suite not in judged:
            yield f"{suite}: the policy requires it, and nothing was checked"
        elif suite in judged:
            yield from _with_conditions(verdict, suite, conditions)


def _with_conditions(verdict: Verdict, suite: str, conditions: SuitePolicy) -> Iterator[str]:
    for condition in conditions.checks:
        found = [one for one in verdict.checks if one.suite == suite and _answers(one, condition, verdict.adapter.name)]
        subjects = {check.subject for check in found}
        missing = set(_subjects(condition, suite, verdict)) - subjects
        if missing or not found:
            yield f"{suite}: the policy's {condition.kind} was not checked on {', '.join(sorted(missing)) or 'anything'}"


def _answers(check: CheckResult, condition: Check, adapter: str) -> bool:
    """Whether a check is of this condition and of the adapter that would be served, by itself."""
    if isinstance(condition, Superiority | NonInferiority):
        sign = 1 if isinstance(condition, Superiority) else -1
        same_baseline = condition.against != "base" or check.against == "base"
        fits = same_baseline and _same(check.threshold, sign * condition.margin / 100)
    elif isinstance(condition, Floor):
        least = condition.minimum if condition.minimum is not None else condition.above_majority
        fits = check.threshold >= (least or 0.0) / 100 - _EPSILON
    else:
        limit = condition.limit if isinstance(condition, Unparsed) else 0.0
        fits = _same(check.threshold, limit / 100)
    return check.kind == condition.kind and check.candidates == (adapter,) and fits


def _subjects(condition: Check, suite: str, verdict: Verdict) -> list[str]:
    """What the condition speaks of, as far as the verdict knows the suite's tasks."""
    over = "macro" if isinstance(condition, TrainedAsScored) else getattr(condition, "over", "each_task")
    if over == "macro":
        return ["macro"]
    if over == "each_group":
        return list(dict.fromkeys(group for one in verdict.comparisons if one.suite == suite for group in one.groups))
    if over != "each_task":
        return list(over)
    return list(dict.fromkeys(task for one in verdict.comparisons if one.suite == suite for task in one.tasks))


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=_EPSILON)


def _name(check: CheckResult) -> str:
    return f"{check.suite}, {check.kind} of {check.subject}"
