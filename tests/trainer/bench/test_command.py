"""The bench: equal work for all arms, fair turns, honest ratios, a report that can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.training.training_bench import BenchConfig, BenchReport
from trainer.bench.command import BenchOptions, run_bench


def test_a_run_leaves_a_report_and_a_picture(tiny_config: Path, tmp_path: Path, capsys: Any) -> None:
    assert run_bench(tiny_config, tmp_path / "out", BenchOptions(memory=False)) == 0
    report = BenchReport.read(tmp_path / "out" / "bench.json")
    assert [arm.arm for arm in report.arms] == list(BenchConfig().arms)
    assert {(point.axis, point.arm) for point in report.sweep} == {
        (axis, arm) for axis in ("supervised_share", "length") for arm in ("lora", "echo_lora")
    }
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "seconds echo_lora / lora" in capsys.readouterr().out
