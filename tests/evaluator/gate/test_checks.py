"""What a policy may say, what it may not, and that no check passes on nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml

from evaluator.commands import gate
from evaluator.comparison.bootstrap import require_scores
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from schemas.evaluation.decision import decide, worst
from schemas.evaluation.eval_report import Interval
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import CheckResult, Verdict
from tests.evaluator.scored_runs import draw, edit_report, improve

Runs = dict[str, Path]
Policy = Callable[..., Path]


def judge(run: Path, against: Path | str, policy: Path, *more: str) -> int:
    return gate.main([str(run), "--against", str(against), "--policy", str(policy), *more])


@pytest.mark.parametrize("path", sorted(Path("configs/policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_policy_is_valid_and_names_suites_that_exist(path: Path) -> None:
    of_files = {yaml.safe_load(file.read_text()).get("name") for file in Path("configs/demo").glob("*.yaml")}
    assert set(GatePolicy.from_yaml(path).suites) <= set(SUITES) | of_files


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


def test_nan_never_passes() -> None:
    nowhere = Interval.model_construct(low=math.nan, high=math.nan, level=0.95)
    with pytest.raises(UserError, match="not a number"):
        decide(nowhere, 0.0)


def seeds_of(tmp_path: Path, evaluation: Callable[..., Path], broken: list[float]) -> list[Path]:
    """Seeds of one configuration on 1,000 items, each of which breaks so large a share of what its base gets right."""
    base = draw(0.8, 1000, 0)
    return [
        evaluation(
            tmp_path / f"seed{index}", {"boolq": {"base": base, "adapter": improve(base, 0.0, share, 100 + index)}}
        )
        for index, share in enumerate(broken)
    ]


NOT_BELOW_BASE = "kind: non_inferiority, against: base, margin: 5"


def test_a_bad_adapter_does_not_pass_among_good_seeds(
    tmp_path: Path, evaluation: Callable[..., Path], policy: Policy
) -> None:
    runs = seeds_of(tmp_path, evaluation, [0.12] + [0.01] * 7)
    conditions = GatePolicy.from_yaml(policy(NOT_BELOW_BASE))
    bad_first, alone, good_first = (gate.gate(group, [], conditions) for group in (runs, runs[:1], runs[1:]))
    assert [check.decision for check in bad_first.checks] == ["rejected", "pass"]
    assert (bad_first.decision, alone.decision, good_first.decision) == ("rejected", "rejected", "pass")
    assert bad_first.checks[0] == alone.checks[0]


def test_the_checks_say_whose_answers_they_are_of(
    tmp_path: Path, evaluation: Callable[..., Path], policy: Policy
) -> None:
    runs = seeds_of(tmp_path, evaluation, [0.01] * 3)
    assert gate.main([*map(str, runs), "--policy", str(policy(NOT_BELOW_BASE))]) == 0
    verdict = Verdict.read(runs[0] / "verdict.json")
    assert [check.candidates for check in verdict.checks] == [("seed0",), ("seed0", "seed1", "seed2")]
    assert [one.candidates for one in verdict.comparisons] == [("seed0",), ("seed0", "seed1", "seed2")]
    names = [case.attrib["name"] for case in ET.parse(runs[0] / "verdict.junit.xml").iter("testcase")]
    assert len(set(names)) == 2


def judged_task(run: Path, against: str, policy: Path) -> CheckResult:
    return gate.gate([run], [against], GatePolicy.from_yaml(policy)).checks[0]


@pytest.mark.parametrize("check", ["kind: superiority, against: base", "kind: floor, over: [boolq], minimum: 50"])
def test_an_item_that_stands_twice_counts_once(
    tmp_path: Path, evaluation: Callable[..., Path], policy: Policy, check: str
) -> None:
    base, adapter = draw(0.5, 60, 1), draw(0.6, 60, 2)
    once = evaluation(tmp_path / "once", {"boolq": {"base": base, "adapter": adapter}})
    twice = evaluation(tmp_path / "twice", {"boolq": {"base": np.tile(base, 2), "adapter": np.tile(adapter, 2)}})
    repeat_questions(twice, 60)
    one, other = (judged_task(run, "base", policy(check)).interval for run in (once, twice))
    assert one is not None
    assert other is not None
    assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.15)


def repeat_questions(run: Path, items: int) -> None:
    """The second half of the items ask, to the letter, what the first half asked."""
    path = run / "evaluation/quickstart/samples.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    asked = {row["document"]: row["prompt"] for row in rows}
    path.write_text("".join(json.dumps(row | {"prompt": asked[row["document"] % items]}) + "\n" for row in rows))
    edit_report(run, lambda report: None)


@pytest.mark.parametrize("check", ["kind: superiority, against: base", "kind: floor, over: [boolq], minimum: 50"])
def test_a_suite_of_one_passage_decides_nothing(
    tmp_path: Path, evaluation: Callable[..., Path], policy: Policy, check: str
) -> None:
    clusters = {"boolq": ["passage"] * 200}
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0] * 200, "adapter": [1] * 200}}, clusters=clusters)
    assert judged_task(run, "base", policy(check)).decision == "inconclusive"


def test_one_question_under_two_tasks_is_refused(
    tmp_path: Path, evaluation: Callable[..., Path], policy: Policy
) -> None:
    outcomes = {"base": draw(0.5, 60, 1), "adapter": draw(0.6, 60, 2)}
    run = evaluation(tmp_path / "run", {"boolq": outcomes, "piqa": outcomes})
    path = run / "evaluation/quickstart/samples.jsonl"
    path.write_text(path.read_text().replace(" of piqa:", " of boolq:"))
    edit_report(run, lambda report: None)
    with pytest.raises(UserError, match="boolq and piqa ask the same questions"):
        judged_task(run, "base", policy("kind: superiority, against: base"))


@pytest.mark.parametrize(
    ("values", "fault"), [(np.array([]), "boolq has no items"), (np.array([np.nan]), "boolq holds a score that is not")]
)
def test_a_task_without_numbers_is_an_error_with_its_name(values: np.ndarray, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        require_scores("boolq", values)


def in_groups(runs: Runs) -> Runs:
    for run in runs.values():
        edit_report(run, lambda data: data.update(groups={"reading": ["boolq"], "both": ["boolq", "piqa"]}))
    return runs


def test_a_group_is_compared_as_the_average_of_its_tasks(runs: Runs, policy: Policy) -> None:
    judge(
        in_groups(runs)["echo"], runs["lora"], policy("kind: superiority, against: base, over: [boolq, reading, both]")
    )
    task, same, both = Verdict.read(runs["echo"] / "verdict.json").checks
    assert (same.estimate, same.interval) == (task.estimate, task.interval)
    paired = Verdict.read(runs["echo"] / "verdict.json").comparisons[0]
    assert math.isclose(both.estimate, paired.macro.estimate)
    assert "| both (group) |" in (runs["echo"] / "verdict.md").read_text()


def test_a_group_has_a_floor_of_its_own(runs: Runs, policy: Policy) -> None:
    assert judge(in_groups(runs)["echo"], "base", policy("kind: floor, over: each_group, above_majority: 5")) == 0
    checks = Verdict.read(runs["echo"] / "verdict.json").checks
    assert [check.subject for check in checks] == ["reading", "both"]
    assert all(check.threshold == 0.55 for check in checks)


def test_each_group_of_none_is_refused(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="the suite quickstart has no groups"):
        judge(runs["echo"], "base", policy("kind: floor, over: each_group, minimum: 5"))


def test_a_group_s_difference_that_was_edited_is_found_out(runs: Runs, policy: Policy) -> None:
    judge(in_groups(runs)["echo"], runs["lora"], policy("kind: superiority, against: base, over: [both]"))
    path = runs["echo"] / "verdict.json"
    data = json.loads(path.read_text())
    data["comparisons"][0]["groups"]["both"]["difference"]["estimate"] += 0.01
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match="the difference of the group both is not the mean of its tasks'"):
        Verdict.read(path)


@pytest.mark.parametrize(("differences", "code"), [([], 0), (["the adapter was trained with another prompt"], 3)])
def test_an_adapter_asked_in_other_words_than_its_training_s_can_be_rejected(
    runs: Runs, policy: Policy, differences: list[str], code: int
) -> None:
    edit_report(runs["echo"], lambda data: data.update(prompt_differences=differences))
    assert judge(runs["echo"], "base", policy("kind: trained_as_scored")) == code
    (check,) = Verdict.read(runs["echo"] / "verdict.json").checks
    assert check.reason.startswith("The adapter was trained with another" if code else "Every task asks in the words")


def test_words_of_an_unknown_training_leave_no_verdict(runs: Runs, policy: Policy) -> None:
    with pytest.raises(UserError, match="whether echo is asked as it was trained on quickstart is unknown"):
        judge(runs["echo"], "base", policy("kind: trained_as_scored"))
