"""The suite that docs/own-tasks.md shows is one that runs."""

from __future__ import annotations

import re
from pathlib import Path

from evaluator.__main__ import main
from schemas.evaluation.eval_report import EvalReport
from tests.evaluator.conftest import ROOT


def test_the_suite_on_the_page_is_scored_on_its_rows(lora_run: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-tasks.md").read_text()
    blocks = dict(re.findall(r"```(csv|yaml)\n(.*?)```", page, flags=re.DOTALL)[:2])
    (tmp_path / "support.csv").write_text(blocks["csv"])
    (tmp_path / "support.yaml").write_text(blocks["yaml"])
    assert main([str(lora_run), "--suite", str(tmp_path / "support.yaml"), "--device", "cpu"]) == 0
    report = EvalReport.read(lora_run / "evaluation" / "support" / "report.json")
    assert [record.variants["adapter"].metric for record in report.tasks.values()] == ["f1", "acc", "number"]
    assert report.tasks["team"].floor == 0.5
    assert report.protocol.startswith("support: answers of the support desk; ")
