"""The picture of a report."""

from pathlib import Path

import pytest

from schemas.training.training_bench import BenchReport
from trainer.bench.plot import plot_report


@pytest.mark.parametrize("place", ["", "lengths/", "shares/"])
def test_a_kept_report_is_drawn_again_on_demand(place, tmp_path):
    report = BenchReport.read(Path(f"configs/bench/results/two_x86_cores/{place}bench.json"))
    picture = plot_report(report, tmp_path / "made" / "bench.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
