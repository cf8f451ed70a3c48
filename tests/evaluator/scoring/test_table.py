"""The scores for people."""

import io

from rich.console import Console

from evaluator.scoring.table import score_table
from schemas.evaluation.eval_report import EvalReport


def shown(run):
    console = Console(width=140, file=io.StringIO())
    console.print(score_table(EvalReport.read(run / "evaluation" / "quickstart" / "report.json")))
    return [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]


def test_a_row_has_both_variants_with_floor_unparsed_and_interval(evaluation, tmp_path):
    run = evaluation(tmp_path / "run", {"boolq": {"base": [0, 2, 1, 0], "adapter": [1, 2, 1, 1]}})
    (row,) = [line for line in shown(run) if line[:1] == ["boolq"]]
    assert row[1:8] == ["4", "25.0", "75.0", "50.0", "1", "/", "1"]


def test_all_items_weigh_large_tasks_more_and_the_macro_average_does_not(evaluation, tmp_path):
    tasks = {"small": {"base": [0], "adapter": [1]}, "large": {"base": [0] * 9, "adapter": [0] * 9}}
    rows = {tuple(line[:2]): line for line in shown(evaluation(tmp_path / "run", tasks))}
    assert rows["macro", "average"][2:4] == ["0.0", "50.0"]
    assert rows["all", "items"][2:5] == ["10", "0.0", "10.0"]


def test_a_group_of_tasks_has_a_mean_of_its_own(evaluation, tmp_path):
    tasks = {name: {"base": [0, 0], "adapter": [1, right]} for name, right in (("a", 0), ("b", 1), ("c", 0.5))}
    rows = shown(evaluation(tmp_path / "run", tasks, groups={"desk": ("a", "b")}))
    assert ["mean", "of", "desk", "0.0", "75.0"] in rows
    assert next(line for line in rows if line[:2] == ["all", "items"])[2:5] == ["6", "0.0", "75.0"]
