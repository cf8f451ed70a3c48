"""From measurements to a verdict: every variant tested against the baseline, and what all the tests say together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from schemas.serving.overhead_report import Equivalence, OverheadVerdict, StructuralCheck, VariantSpeed
from serving.bench.equivalence import tost
from serving.bench.rounds import METRICS, Measurements, Plan


def compare_variants(measured: Measurements, plan: Plan, margin: float) -> list[Equivalence]:
    """Candidate and control against the baseline, every metric at every concurrency."""
    tests = []
    for concurrency in plan.concurrency:
        for metric in METRICS:
            for variant in ("candidate", "control"):
                log_ratios = measured.log_ratios(variant, "baseline", metric, concurrency)
                result = tost(log_ratios, margin)
                tests.append(
                    Equivalence(
                        variant=variant,
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
    control = [_label(test) for test in tests if test.variant == "control" and test.verdict != "equivalent"]
    worse = [_label(test) for test in tests if test.variant == "candidate" and test.verdict == "not_equivalent"]
    if control:
        return "inconclusive", (
            f"the baseline cannot be shown equal to itself within {margin:.1%} ({', '.join(control)}): "
            "the machine is too noisy for this many rounds"
        )
    if worse:
        return "not_equivalent", f"outside of the margin of {margin:.1%}: {', '.join(worse)}"
    open_ones = [_label(test) for test in tests if test.verdict == "inconclusive"]
    if open_ones:
        return "inconclusive", f"more rounds are needed for {', '.join(open_ones)}"
    return "equivalent", f"same structure, and every metric is equal within {margin:.1%}"


def summarise(measured: Measurements) -> list[VariantSpeed]:
    """Medians over the blocks of every variant."""
    return [
        VariantSpeed(
            variant=variant,
            concurrency=concurrency,
            time_to_first_token=median(measured.values(variant, "time_to_first_token", concurrency)),
            inter_token_latency=median(measured.values(variant, "inter_token_latency", concurrency)),
            tokens_per_second=1 / median(measured.values(variant, "seconds_per_token", concurrency)),
        )
        for concurrency, variant in sorted(measured.blocks)
    ]


def _label(test: Equivalence) -> str:
    return f"{test.metric.replace('_', ' ')} at {test.concurrency} requests"
