"""Order, structure and verdict of the zero-overhead proof; and the proof itself, on the real server."""

import json
import math

import pytest

from schemas.adapter_reader import read_adapter
from schemas.serving.overhead_report import OverheadReport, StructuralCheck
from serving.bench.command_line import bench
from serving.bench.load import BlockSpeed
from serving.bench.rounds import METRICS, Measurements, Plan, palindrome
from serving.bench.structure import compare_structure
from serving.bench.verdict import compare_variants, decide
from serving.engine.vllm_process import on_cpu

SAME = (StructuralCheck(what="rank", same=True, detail="4"),)


@pytest.fixture(scope="module")
def twins(tmp_path_factory, tiny_base, adapter_runs):
    """Two adapters of one shape, and one of another rank."""
    root = tmp_path_factory.mktemp("twins")
    shape = adapter_runs.AdapterShape
    shapes = {"echo": shape(method="echo_lora"), "plain": shape(seed=1), "wide": shape(rank=8, seed=2)}
    return {name: adapter_runs.write_adapter_run(root / name, tiny_base, s) for name, s in shapes.items()}


def measurements(candidate=1.0, rounds=12, noise=0.01):
    """Rounds whose control differs by alternating noise, and whose candidate is slower by a factor."""
    into = Measurements()
    factors = {"candidate": candidate, "baseline": 1.0, "control": 1.0}
    for variant, factor in factors.items():
        wobble = [factor * math.exp(noise * (-1) ** i * (variant != "baseline")) for i in range(rounds)]
        into.blocks[1, variant] = [(BlockSpeed(w, w, w), BlockSpeed(w, w, w)) for w in wobble]
    return into


def verdict_of(measured, structure=SAME):
    plan = Plan({}, (1,), 1, 1, 1, (0,), 0)
    return decide(structure, compare_variants(measured, plan, 0.02), 0.02)


def test_every_pair_of_arms_is_visited_there_and_back():
    for seed in range(20):
        order = palindrome(("candidate", "baseline", "control", "base"), seed)
        assert order == order[::-1]
        assert sorted(order[:4]) == ["base", "candidate", "control", "baseline"]
    assert len({tuple(palindrome("ABCD", seed)) for seed in range(20)}) > 5


def test_linear_drift_cancels_in_every_pair():
    into = Measurements()
    for number in range(5):
        seen = {}
        for step, variant in enumerate(palindrome("ABC", number)):
            seen.setdefault(variant, []).append(BlockSpeed(*[math.exp(0.1 * (8 * number + step))] * 3))
        for variant, blocks in seen.items():
            into.blocks.setdefault((1, variant), []).append(tuple(blocks))
    assert into.log_ratios("A", "B", METRICS[0], 1) == pytest.approx([0] * 5)


def test_equal_arms_are_equivalent_and_a_slow_candidate_is_not():
    assert verdict_of(measurements())[0] == "equivalent"
    verdict, reason = verdict_of(measurements(candidate=1.1))
    assert verdict == "not_equivalent"
    assert "time to first token at 1 requests" in reason


def test_a_control_that_differs_from_itself_makes_everything_inconclusive():
    verdict, reason = verdict_of(measurements(noise=0.2))
    assert verdict == "inconclusive"
    assert "too noisy" in reason


def test_a_difference_in_structure_decides_alone():
    differs = (StructuralCheck(what="rank", same=False, detail="4 / 8"),)
    assert verdict_of(measurements(), differs) == ("not_equivalent", "the adapters differ in structure: rank")


def test_an_echo_adapter_has_the_structure_of_a_plain_one(twins):
    echo, plain = (read_adapter(twins[name].adapter) for name in ("echo", "plain"))
    assert all(check.same for check in compare_structure(echo, plain, (list(echo.tensors), list(plain.tensors))))


def test_another_rank_is_another_structure(twins):
    echo, wide = (read_adapter(twins[name].adapter) for name in ("echo", "wide"))
    checks = compare_structure(echo, wide, (list(echo.tensors), list(wide.tensors)))
    assert [check.what for check in checks if not check.same] == [
        *("tensor shapes and dtypes", "rank", "configuration", "bytes of weights")
    ]


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_the_proof_on_the_real_server(twins, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = ["--waves", "2", "--prompt-tokens", "8", "--output-tokens", "4", "--concurrency", "1", "2"]
    limits = ["--max-rounds", "6", "--margin", "0.9", "--no-merged", "--output", str(tmp_path / "report.json")]
    code = bench([str(twins["echo"].root), "--against", str(twins["plain"].root), *small, *limits])
    report = OverheadReport.read(tmp_path / "report.json")
    assert code == {"equivalent": 0, "not_equivalent": 3, "inconclusive": 4}[report.verdict]
    assert all(check.same for check in report.structure)
    assert {(test.variant, test.metric, test.concurrency) for test in report.tests} == {
        (variant, metric, at) for variant in ("candidate", "control") for metric in METRICS for at in (1, 2)
    }
    assert {speed.variant for speed in report.speeds} == {"candidate", "baseline", "control", "base"}
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "report.json").read_text())["server"]["max_loras"] == 3 + on_cpu()
