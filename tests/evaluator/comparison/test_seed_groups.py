"""Which runs count as seeds of one configuration, and which group is the baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluator.comparison.paired import Resampling
from evaluator.comparison.seed_groups import find_seed_group, read_seed_groups, shared_suites
from evaluator.comparison.summary import summarise
from schemas.errors import UserError

Runs = dict[str, Path]


def seeds(evaluation: Callable[..., Path], root: Path, name: str, method: str, rights: list[int]) -> list[Path]:
    """Runs of one configuration that differ in the seed; each is right on its first so many of 200 items."""
    written = []
    for seed, right in enumerate(rights):
        answers = {"base": [1] * 80 + [0] * 120, "adapter": [1] * right + [0] * (200 - right)}
        run = evaluation(root / f"{name}-{seed}", {"boolq": answers}, method=method)
        (run / "config.yaml").write_text(f"name: {name}-{seed}\nseed: {seed}\nmethod: {method}\nrank: 8\n")
        written.append(run)
    return written


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
