"""The comparison table: groups, seeds, the baseline, and both of its shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.commands import compare, gate
from evaluator.comparison.paired import Resampling
from evaluator.comparison.seed_groups import find_seed_group, read_seed_groups, shared_suites
from evaluator.comparison.summary import summarise
from evaluator.tasks.names import short_names
from schemas.errors import UserError

Runs = dict[str, Path]
POLICY = "configs/policies/quickstart.yaml"


def seeds(evaluation: Callable[..., Path], root: Path, name: str, method: str, rights: list[int]) -> list[Path]:
    """Runs of one configuration that differ in the seed; each is right on its first so many of 200 items."""
    written = []
    for seed, right in enumerate(rights):
        answers = {"base": [1] * 80 + [0] * 120, "adapter": [1] * right + [0] * (200 - right)}
        run = evaluation(root / f"{name}-{seed}", {"boolq": answers}, method=method)
        (run / "config.yaml").write_text(f"name: {name}-{seed}\nseed: {seed}\nmethod: {method}\nrank: 8\n")
        written.append(run)
    return written


def test_the_table_has_base_lora_and_echo_lora_in_this_order(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(runs["echo"]), str(runs["lora"]), "--suite", "quickstart"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    first = [line[0] for line in lines]
    assert first.index("base") < first.index("LoRA") < first.index("Echo-LoRA")
    assert {"BoolQ", "PIQA", "macro", "unparsed", "against"} <= set(lines[1])


def test_every_pair_is_judged_with_what_the_sample_could_have_shown(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main([str(runs["worse"]), str(runs["lora"])])
    text = " ".join(capsys.readouterr().out.split())
    assert "Echo-LoRA against LoRA: worse, -" in text
    assert "LoRA against base: better, +" in text
    assert text.count("detectable here:") == 3


def test_the_gate_s_verdict_is_shown_until_the_run_is_evaluated_again(
    runs: Runs, capsys: pytest.CaptureFixture[str], edit: Callable[..., None]
) -> None:
    gate.main([str(runs["echo"]), "--against", str(runs["lora"]), "--policy", POLICY])
    capsys.readouterr()
    compare.main([str(runs["echo"]), str(runs["lora"])])
    assert "gate quickstart, echo: pass" in capsys.readouterr().out
    edit(runs["echo"], lambda report: report.update(seconds=2.5))
    compare.main([str(runs["echo"]), str(runs["lora"])])
    assert "gate quickstart" not in capsys.readouterr().out


def test_runs_that_differ_only_in_the_seed_are_one_seed_group(evaluation: Callable[..., Path], tmp_path: Path) -> None:
    echo = seeds(evaluation, tmp_path, "echo", "echo_lora", [150, 160, 170])
    lora = seeds(evaluation, tmp_path, "lora", "lora", [140, 150, 160])
    groups = read_seed_groups([*echo, *lora], "quickstart")
    assert [(group.label, len(group.runs)) for group in groups] == [("base", 1), ("Echo-LoRA", 3), ("LoRA", 3)]
    rows = summarise(groups, find_seed_group(groups, None), Resampling(resamples=1_000)).rows
    assert [row.group.label for row in rows] == ["base", "LoRA", "Echo-LoRA"]
    assert rows[2].spread == pytest.approx(0.05)
    assert rows[2].against["LoRA"].macro.estimate == pytest.approx(0.05)


def test_two_configurations_of_one_method_are_told_apart_by_name(
    evaluation: Callable[..., Path], tmp_path: Path
) -> None:
    narrow, wide = (seeds(evaluation, tmp_path, name, "lora", [150])[0] for name in ("narrow", "wide"))
    (wide / "config.yaml").write_text("name: wide\nseed: 0\nmethod: lora\nrank: 64\n")
    groups = read_seed_groups([narrow, wide], "quickstart")
    assert [group.label for group in groups] == ["base", "LoRA narrow-0", "LoRA wide-0"]


def test_holm_adjusts_over_all_rows_and_tasks_of_a_baseline(runs: Runs) -> None:
    groups = read_seed_groups([runs["echo"], runs["worse"], runs["lora"]], "quickstart")
    result = summarise(groups, find_seed_group(groups, "lora"), Resampling(resamples=1_000))
    tasks = [task for comparison in result.comparisons("LoRA").values() for task in comparison.tasks.values()]
    assert len(tasks) == 4
    assert min(task.p_holm for task in tasks) == pytest.approx(4 * min(task.difference.p_value for task in tasks))


def test_the_baseline_may_be_the_base_or_any_run(runs: Runs) -> None:
    groups = read_seed_groups([runs["echo"], runs["lora"]], "quickstart")
    assert find_seed_group(groups, "base").label == "base"
    assert find_seed_group(groups, str(runs["echo"])).label == "Echo-LoRA"
    assert find_seed_group(groups[:2], None).label == "base"
    with pytest.raises(UserError, match="no run here is called 'dora'"):
        find_seed_group(groups, "dora")


def test_runs_that_share_no_suite_are_refused(runs: Runs, evaluation: Callable[..., Path], tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", {"gsm8k": {"base": [0], "adapter": [1]}}, suite="gsm8k")
    with pytest.raises(UserError, match="share no evaluated suite"):
        shared_suites([runs["echo"], other], None)


def test_many_tasks_go_into_a_table_of_their_own(
    evaluation: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"base": [0] * 20 + [1] * 10, "adapter": [1] * 25 + [0] * 5}
    run = evaluation(tmp_path / "run", {f"mmlu_{n:02}": answers for n in range(12)}, suite="mmlu")
    compare.main([str(run)])
    out = capsys.readouterr().out
    assert "mmlu: run against base" in out
    assert len([line for line in out.splitlines() if line.strip().startswith("11 ")]) == 1


def test_task_names_are_abbreviated_as_in_the_literature() -> None:
    names = short_names(["commonsense_170k_arc_easy", "commonsense_170k_social_i_qa", "commonsense_170k_boolq"])
    assert list(names.values()) == ["ARC-e", "SIQA", "BoolQ"]
    assert short_names(["gsm8k"]) == {"gsm8k": "GSM8K"}
