"""The report on the terminal: every arm, every comparison, and whether its bar is met."""

import io
from pathlib import Path

from rich.console import Console

from schemas.training.training_bench import BenchReport
from trainer.bench.table import report_tables


def test_what_was_measured_is_shown_with_its_bars():
    report = BenchReport.read(Path("configs/bench/results/two_x86_cores/bench.json"))
    console = Console(record=True, width=160, file=io.StringIO())
    for table in report_tables(report):
        console.print(table)
    text = console.export_text()
    assert all(arm.arm in text for arm in report.arms)
    assert text.count("met") + text.count("missed") >= sum(ratio.met is not None for ratio in report.ratios) > 0
    assert "ABBA rounds" in text
