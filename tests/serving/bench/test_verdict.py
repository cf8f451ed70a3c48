"""From measurements to a verdict: the control has the first word, and every metric must be equal."""

from schemas.serving.overhead_report import StructuralCheck
from serving.bench.rounds import Plan
from serving.bench.verdict import compare_variants, decide, summarise

SAME = (StructuralCheck(what="rank", same=True, detail="4"),)


def verdict_of(measured, structure=SAME):
    plan = Plan({}, (1,), 1, 1, 1, (0,), 0)
    return decide(structure, compare_variants(measured, plan, 0.02), 0.02)


def test_equal_arms_are_equivalent_and_a_slow_candidate_is_not(measurements):
    assert verdict_of(measurements())[0] == "equivalent"
    verdict, reason = verdict_of(measurements(candidate=1.1))
    assert verdict == "not_equivalent"
    assert "time to first token at 1 requests" in reason


def test_a_control_that_differs_from_itself_makes_everything_inconclusive(measurements):
    verdict, reason = verdict_of(measurements(noise=0.2))
    assert verdict == "inconclusive"
    assert "too noisy" in reason


def test_a_difference_in_structure_decides_alone(measurements):
    differs = (StructuralCheck(what="rank", same=False, detail="4 / 8"),)
    assert verdict_of(measurements(), differs) == ("not_equivalent", "the adapters differ in structure: rank")


def test_speeds_are_medians_per_arm(measurements):
    speeds = {speed.variant: speed for speed in summarise(measurements(candidate=2.0, noise=0.0))}
    assert speeds["candidate"].time_to_first_token == 2.0
    assert speeds["candidate"].tokens_per_second == speeds["baseline"].tokens_per_second / 2
