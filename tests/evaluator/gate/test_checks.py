"""What a policy may say, what it may not, and that no check passes on nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluator.commands import gate
from evaluator.gate.checks import decide
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from schemas.evaluation.eval_report import Interval
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict, worst

Runs = dict[str, Path]
Policy = Callable[..., Path]


def judge(run: Path, against: Path | str, policy: Path, *more: str) -> int:
    return gate.main([str(run), "--against", str(against), "--policy", str(policy), *more])


@pytest.mark.parametrize("path", sorted(Path("configs/policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_policy_is_valid_and_names_suites_that_exist(path: Path) -> None:
    assert set(GatePolicy.from_yaml(path).suites) <= set(SUITES)


def test_the_worst_check_decides_and_no_checks_are_an_error() -> None:
    assert worst(["pass", "inconclusive", "pass"]) == "inconclusive"
    assert worst(["inconclusive", "rejected", "pass"]) == "rejected"
    with pytest.raises(ValueError, match="empty"):
        worst([])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nsuites: {quickstart: {checks: []}}", "checks: Tuple should have at least 1 item"),
        ("name: x\nsuites: {}", "suites: Dictionary should have at least 1 item"),
        ("name: x\nsuites: {a: {required: false, checks: [{kind: unparsed, limit: 5}]}}", "at least one suite must be"),
        ("name: x\nsuites: {a: {checks: [{kind: accuracy, limit: 5}]}}", "'accuracy' found using 'kind'"),
        ("name: x\nsuites: {a: {checks: [{kind: non_inferiority, against: base}]}}", "margin: Field required"),
        ("name: x\nsuites: {a: {checks: [{kind: unparsed, limit: 5, tasks: [boolq]}]}}", "tasks: unknown key"),
        ("name: x\nsuites: {a: {checks: [{kind: floor}]}}", "either `minimum` or `above_majority`"),
        ("name: x\nsuites: {a: {checks: [{kind: floor, minimum: .nan}]}}", "minimum"),
        ("name: x\nsuites: {a: {}, a: {}}", "'a' is given twice"),
        ("name: [", "not YAML"),
    ],
)
def test_a_faulty_policy_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        GatePolicy.from_yaml(path)


def test_an_unknown_task_is_refused_with_the_nearest_name(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="unknown tasks: boolqq") as error:
        judge(runs["echo"], runs["lora"], policy("kind: superiority, against: base, over: [boolqq]"))
    assert error.value.fix == "did you mean boolq?"


def test_a_required_task_that_is_not_in_the_report_is_refused(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="required tasks are not in the report: winogrande"):
        judge(runs["echo"], runs["lora"], policy("kind: unparsed, limit: 5", tasks="[boolq, winogrande]"))


def test_a_baseline_is_needed_where_a_check_speaks_of_one(runs: Runs, policy: Policy) -> None:
    path = policy("kind: non_inferiority, against: baseline, margin: 5")
    with pytest.raises(UserError, match="none is named"):
        gate.main([str(runs["echo"]), "--policy", str(path)])


def test_a_required_suite_cannot_be_left_out(runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    check = "checks: [{kind: unparsed, limit: 5}]"
    path.write_text(f"name: x\nsuites:\n  quickstart: {{{check}}}\n  mmlu: {{required: false, {check}}}\n")
    with pytest.raises(UserError, match="requires quickstart"):
        judge(runs["echo"], runs["lora"], path, "--suite", "mmlu")
    assert judge(runs["echo"], runs["lora"], path) == 0
    assert Verdict.read(runs["echo"] / "verdict.json").suites_left_out == ("mmlu",)


def test_checks_over_several_tasks_use_simultaneous_intervals(runs: Runs, policy: Policy) -> None:
    judge(runs["echo"], runs["lora"], policy("kind: superiority, against: base, over: each_task, margin: 10"))
    checks = Verdict.read(runs["echo"] / "verdict.json").checks
    assert [check.subject for check in checks] == ["boolq", "piqa"]
    assert all(check.interval and math.isclose(check.interval.level, 0.975) for check in checks)


def test_a_floor_is_held_against_the_whole_interval(runs: Runs, policy: Policy) -> None:
    assert judge(runs["echo"], "base", policy("kind: floor, over: each_task, above_majority: 20")) == 0
    assert judge(runs["echo"], "base", policy("kind: floor, minimum: 99.9")) == 3
    score = Verdict.read(runs["echo"] / "verdict.json").checks[0].estimate
    assert judge(runs["echo"], "base", policy(f"kind: floor, minimum: {score * 100:.2f}")) == 4


def test_a_majority_floor_needs_a_majority_class(
    evaluation: Callable[..., Path], policy: Policy, tmp_path: Path
) -> None:
    run = evaluation(tmp_path / "run", {"gsm8k": {"base": [0] * 50, "adapter": [1] * 50}}, floor=None)
    with pytest.raises(UserError, match="which gsm8k does not have"):
        judge(run, "base", policy("kind: floor, above_majority: 5"))


def test_unparsed_answers_over_the_limit_reject(
    evaluation: Callable[..., Path], policy: Policy, tmp_path: Path
) -> None:
    adapter = [1] * 80 + [2] * 20
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0] * 100, "adapter": adapter}})
    assert judge(run, "base", policy("kind: unparsed, limit: 19")) == 3
    assert judge(run, "base", policy("kind: unparsed, limit: 20")) == 0


def test_items_without_a_score_mean_no_verdict_unless_allowed(
    evaluation: Callable[..., Path], policy: Policy, tmp_path: Path
) -> None:
    adapter, base = [1] * 70 + [3] * 4 + [0] * 26, [3] * 4 + [0] * 96
    run = evaluation(tmp_path / "run", {"boolq": {"base": base, "adapter": adapter}})
    check = "kind: superiority, against: base, margin: 30"
    with pytest.raises(UserError, match="4 of 100 items have no score"):
        judge(run, "base", policy(check))
    assert judge(run, "base", policy(check, unscored=4)) == 0


def test_an_item_without_a_score_counts_against_the_adapter_on_either_side(
    evaluation: Callable[..., Path], policy: Policy, tmp_path: Path
) -> None:
    adapter, base = [3] * 10 + [1] * 90, [1] * 10 + [0] * 80 + [3] * 10
    run = evaluation(tmp_path / "run", {"boolq": {"base": base, "adapter": adapter}})
    judge(run, "base", policy("kind: superiority, against: base", unscored=10))
    task = Verdict.read(run / "verdict.json").comparisons[0].tasks["boolq"]
    assert (task.candidate, task.baseline) == (0.9, 0.2)
    assert (task.fixed, task.broken) == (80, 10)


def test_nan_never_passes() -> None:
    nowhere = Interval.model_construct(low=math.nan, high=math.nan, level=0.95)
    with pytest.raises(UserError, match="not a number"):
        decide(nowhere, 0.0)


def test_several_seeds_per_side_widen_the_interval(
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
