"""From measurements to a verdict: every arm tested against the opponent, and what all the tests say together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from schemas.serving.overhead_report import ArmSpeed, Equivalence, OverheadVerdict, StructuralCheck
from serving.bench.equivalence import tost
from serving.bench.rounds import METRICS, Measurements, Plan


def compare_arms(measured: Measurements, plan: Plan, margin: float) -> list[Equivalence]:
    """Candidate and control against the opponent, every metric at every concurrency."""
    tests = []
    for concurrency in plan.concurrency:
        for metric in METRICS:
            for arm in ("candidate", "control"):
                log_ratios = measured.log_ratios(arm, "opponent", metric, concurrency)
                result = tost(log_ratios, margin)
                tests.append(
                    Equivalence(
                        arm=arm,
                        metric=metric,
                        concurrency=concurrency,
                        ratio=result.ratio,
                        rounds=tuple(round(math.exp(value), 6) for value in log_ratios),
                        low=result.low,
                        high=result.high,
                        p_value=result.p_value,
                        noise=result.noise,
                        verdict=result.verdict,
                    )
                )
    return tests


def decide(
    structure: Sequence[StructuralCheck], tests: Sequence[Equivalence], margin: float
) -> tuple[OverheadVerdict, str]:
    """Equivalent only if everything is; each test must pass by itself, so no correction for many tests is needed."""
    different = [check.what for check in structure if not check.same]
    if different:
        return "not_equivalent", f"the adapters differ in structure: {', '.join(different)}"
    control = [_label(test) for test in tests if test.arm == "control" and test.verdict != "equivalent"]
    worse = [_label(test) for test in tests if test.arm == "candidate" and test.verdict == "not_equivalent"]
    if control:
        return "inconclusive", (
            f"the opponent cannot be shown equal to itself within {margin:.1%} ({', '.join(control)}): "
            "the machine is too noisy for this many rounds"
        )
    if worse:
        return "not_equivalent", f"outside of the margin of {margin:.1%}: {', '.join(worse)}"
    open_ones = [_label(test) for test in tests if test.verdict == "inconclusive"]
    if open_ones:
        return "inconclusive", f"more rounds are needed for {', '.join(open_ones)}"
    return "equivalent", f"same structure, and every metric is equal within {margin:.1%}"


def summarise(measured: Measurements) -> list[ArmSpeed]:
    """Medians over the blocks of every arm."""
    return [
        ArmSpeed(
            arm=arm,
            concurrency=concurrency,
            time_to_first_token=median(measured.values(arm, "time_to_first_token", concurrency)),
            inter_token_latency=median(measured.values(arm, "inter_token_latency", concurrency)),
            tokens_per_second=1 / median(measured.values(arm, "seconds_per_token", concurrency)),
        )
        for concurrency, arm in sorted(measured.blocks)
    ]


def _label(test: Equivalence) -> str:
    return f"{test.metric.replace('_', ' ')} at {test.concurrency} requests"
