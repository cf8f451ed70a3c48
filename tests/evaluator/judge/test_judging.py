"""Judged tasks from suite file to report: grades, pairs in both orders, the judge's name, and judges that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluator.__main__ import main
from evaluator.comparison.comparability import report_differences
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, Sample
from tests.evaluator.judge_server import JudgeServer, judge_server, part
from tests.evaluator.tasks.own.suite_files import write_suite

RUBRIC = {"kind": "judge", "rubric": "A good answer names {{ city }}."}
TASKS: dict[str, Any] = {
    "graded": {"counts": RUBRIC, "max_new_tokens": 4},
    "open": {"counts": RUBRIC, "max_new_tokens": 4, "target": None},
    "paired": {"counts": {**RUBRIC, "pairs": True}, "max_new_tokens": 4},
}


def says(asked: str) -> str:
    """Grades 4 of 5; of a pair it likes the target, which it knows by its rubric, wherever that stands."""
    if not part("Answer A", asked):
        return "Fair. [[4]]"
    return "[[A]]" if part("Answer A", asked) in asked.partition("[Begin")[0] else "[[B]]"


def score(run: Path, suite: Path, server: JudgeServer) -> tuple[EvalReport, list[Sample]]:
    content = yaml.safe_load(suite.read_text())
    suite.write_text(yaml.safe_dump({**content, "judge": {"url": server.url, "model": "judge"}}))
    assert main([str(run), "--suite", str(suite), "--device", "cpu"]) == 0
    folder = run / "evaluation" / "mine"
    lines = (folder / "samples.jsonl").read_bytes().splitlines()
    return EvalReport.read(folder / "report.json"), [Sample.model_validate_json(line) for line in lines]


def test_grades_and_pairs_reach_the_report_with_the_judge_s_name(lora_run: Path, tmp_path: Path) -> None:
    with judge_server(says, model="judge-2026-01") as server:
        report, samples = score(lora_run, write_suite(tmp_path, **TASKS), server)
        asked = len(server.asked)
        again, _ = score(lora_run, tmp_path / "suite.yaml", server)
        assert len(server.asked) == asked
    assert again.macro == report.macro
    scores = {name: record.variants["adapter"].score for name, record in report.tasks.items()}
    assert scores == {"graded": 0.75, "open": 0.75, "paired": 0.0}
    assert {record.judges for record in report.tasks.values()} == {("judge-2026-01",)}
    assert {(s.outcome, s.judgement) for s in samples if s.task == "graded"} == {("partial", "Fair. [[4]]")}
    assert any(s.judgement == "[[B]]\n\n[[A]]" for s in samples if s.task == "paired")


def test_reports_of_two_judges_are_not_compared(lora_run: Path, tmp_path: Path) -> None:
    reports = []
    for name in ("judge-1", "judge-2"):
        with judge_server(says, model=name) as server:
            reports.append(score(lora_run, write_suite(tmp_path, graded=TASKS["graded"]), server)[0])
    assert list(report_differences(*reports)) == ["graded: judges: ('judge-1',) / ('judge-2',)"]


def test_a_judge_that_forgets_the_form_is_reminded_once(lora_run: Path, tmp_path: Path) -> None:
    with judge_server(lambda asked: "[[5]]" if "no valid verdict" in asked else "Fine.") as server:
        report, _ = score(lora_run, write_suite(tmp_path, graded=TASKS["graded"]), server)
        reminders = [turns for turns in server.asked if len(turns) == 3]
    assert report.macro == {"base": 1.0, "adapter": 1.0}
    assert [turn["role"] for turn in reminders[0]] == ["user", "assistant", "user"]


def test_a_judge_that_talks_nonsense_ends_the_evaluation_with_the_item_s_name(lora_run: Path, tmp_path: Path) -> None:
    with judge_server(lambda _: "I am a teapot.") as server, pytest.raises(UserError) as fault:
        score(lora_run, write_suite(tmp_path, graded=TASKS["graded"]), server)
    assert "the judge judge-1 gives no verdict, even reminded: it says 'I am a teapot.'" in str(fault.value)
    assert "on task graded, row " in str(fault.value)
    assert not (lora_run / "evaluation").exists()


def test_a_judge_that_does_not_answer_costs_no_answers(lora_run: Path, tmp_path: Path) -> None:
    with judge_server(says) as server:
        pass
    with pytest.raises(UserError, match="the judge does not answer"):
        score(lora_run, write_suite(tmp_path, graded=TASKS["graded"]), server)
    assert not (lora_run.parent / ".answers").exists()
