"""The summary of a suite: its order, its findings, one family of p-values per baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.comparison.paired import Resampling
from evaluator.comparison.seed_groups import find_seed_group, read_seed_groups
from evaluator.comparison.summary import finding, summarise

Runs = dict[str, Path]


def test_holm_adjusts_over_all_rows_and_tasks_of_a_baseline(runs: Runs) -> None:
    groups = read_seed_groups([runs["echo"], runs["worse"], runs["lora"]], "quickstart")
    result = summarise(groups, find_seed_group(groups, "lora"), Resampling(resamples=1_000))
    tasks = [task for comparison in result.comparisons("LoRA").values() for task in comparison.tasks.values()]
    assert len(tasks) == 4
    assert min(task.p_holm for task in tasks) == pytest.approx(4 * min(task.difference.p_value for task in tasks))


def test_the_base_stands_first_and_the_baseline_before_those_it_is_compared_with(runs: Runs) -> None:
    groups = read_seed_groups([runs["echo"], runs["lora"]], "quickstart")
    result = summarise(groups, find_seed_group(groups, "lora"), Resampling(resamples=1_000))
    assert [row.group.label for row in result.rows] == ["base", "LoRA", "Echo-LoRA"]
    assert [list(row.against) for row in result.rows] == [[], ["base"], ["base", "LoRA"]]
    assert finding(result.rows[1].against["base"].document) == "better"


def test_one_run_a_side_is_no_finding_however_far_apart_they_are(runs: Runs) -> None:
    groups = read_seed_groups([runs["worse"], runs["lora"]], "quickstart")
    for baseline in ("lora", "worse"):  # one is far below the other, whichever way they are held
        result = summarise(groups, find_seed_group(groups, baseline), Resampling(resamples=1_000))
        (comparison,) = (row.against[result.baseline.label].document for row in result.rows[2:])
        assert not comparison.macro.interval.low < 0 < comparison.macro.interval.high
        assert finding(comparison) == "one run a side"
