"""Two seed groups on the same items: unscored items, several seeds, items fixed and broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluator.commands import gate
from evaluator.comparison.paired import Resampling, compare_pair
from evaluator.comparison.scored_run import ScoredRun, read_evaluation
from evaluator.comparison.significance import mcnemar_exact
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict
from tests.evaluator.commands.test_gate import judge

Policy = Callable[..., Path]


def test_an_item_without_a_score_counts_against_the_adapter_in_either_variant(
    evaluation: Callable[..., Path], policy: Policy, tmp_path: Path
) -> None:
    adapter, base = [3] * 10 + [1] * 90, [1] * 10 + [0] * 80 + [3] * 10
    run = evaluation(tmp_path / "run", {"boolq": {"base": base, "adapter": adapter}})
    judge(run, "base", policy("kind: superiority, against: base", unscored=10))
    task = Verdict.read(run / "verdict.json").comparisons[0].tasks["boolq"]
    assert (task.candidate, task.baseline) == (0.9, 0.2)
    assert (task.fixed, task.broken) == (80, 10)


def test_several_seeds_per_group_widen_the_interval(
    evaluation: Callable[..., Path], tmp_path: Path, policy: Policy
) -> None:
    generator = np.random.default_rng(0)
    base = [int(x) for x in generator.random(300) < 0.5]

    def seeds(name: str, rates: tuple[float, ...]) -> list[Path]:
        return [
            evaluation(
                tmp_path / f"{name}{seed}", {"boolq": {"base": base, "adapter": generator.binomial(1, rate, 300)}}
            )
            for seed, rate in enumerate(rates)
        ]

    echo, lora = seeds("echo", (0.85, 0.75, 0.80)), seeds("lora", (0.70, 0.60, 0.65))
    path = policy("kind: superiority, against: baseline")
    one = gate.gate(echo[:1], [str(lora[0])], GatePolicy.from_yaml(path)).comparisons[-1]
    many = gate.gate(echo, [str(run) for run in lora], GatePolicy.from_yaml(path)).comparisons[-1]
    assert one.seed_standard_error is None
    assert many.seed_standard_error == pytest.approx(0.05 * math.sqrt(2 / 3), rel=0.5)
    assert many.macro.standard_error > one.macro.standard_error
    assert many.candidates == ("echo0", "echo1", "echo2")


def test_single_runs_are_compared_by_mcnemar_on_the_items_that_changed(
    evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0] * 8 + [1] * 12, "adapter": [1] * 18 + [0] * 2}})
    scored = read_evaluation(run, "quickstart")
    result = compare_pair([ScoredRun(scored, "adapter")], [ScoredRun(scored, "base")], Resampling(resamples=1_000))
    task = result.document.tasks["boolq"]
    assert (task.fixed, task.broken) == (8, 2)
    assert task.difference.p_value == pytest.approx(mcnemar_exact(8, 2))


def test_equal_settings_give_equal_intervals(evaluation: Callable[..., Path], tmp_path: Path) -> None:
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0, 1] * 20, "adapter": [1, 1, 0, 1] * 10}})
    scored = read_evaluation(run, "quickstart")
    pairs = [[ScoredRun(scored, "adapter")], [ScoredRun(scored, "base")]]
    first, second = (compare_pair(*pairs, Resampling(resamples=1_000, seed=3)).document for _ in range(2))
    assert first == second


def test_scores_between_0_and_1_are_compared_by_bootstrap_and_not_by_mcnemar(
    evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    scores = {"base": [0.25, 0.5, 0, 1] * 15, "adapter": [0.5, 0.25, 0.5, 1] * 15}
    scored = read_evaluation(evaluation(tmp_path / "run", {"t": scores}, metric="f1"), "quickstart")
    result = compare_pair([ScoredRun(scored, "adapter")], [ScoredRun(scored, "base")], Resampling(resamples=2_000))
    task = result.document.tasks["t"]
    assert (task.fixed, task.broken) == (30, 15)
    assert task.difference.estimate == pytest.approx(0.125)
    assert task.difference.p_value == result.tasks["t"].distribution.p_value() != mcnemar_exact(30, 15)
