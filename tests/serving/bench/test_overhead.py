"""The zero-overhead proof on the real server, from the command line to report and plot."""

import json

import pytest

from schemas.serving.overhead_report import OverheadReport
from serving.bench.command_line import bench
from serving.bench.overhead import MARGIN, control_noise, without_base
from serving.bench.rounds import METRICS, Plan
from serving.engine.vllm_process import on_cpu

PLAN = Plan({"candidate": "a", "baseline": "b", "control": "c", "base": "d"}, (1,), 1, 1, 1, (0,), 0)


def test_the_base_is_measured_in_the_pilot_only():
    assert set(without_base(PLAN).variants) == {"candidate", "baseline", "control"}


def test_the_noise_that_plans_the_rounds_is_the_controls(measurements):
    quiet, loud = (max(control_noise(measurements(candidate=2.0, noise=noise), PLAN)) for noise in (0.001, 0.1))
    assert quiet < MARGIN / 10
    assert loud > 0.09


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_the_proof_on_the_real_server(twins, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = ["--waves", "2", "--prompt-tokens", "8", "--output-tokens", "4", "--concurrency", "1", "2"]
    limits = ["--max-rounds", "6", "--margin", "0.9", "--no-merged", "--output", str(tmp_path / "report.json")]
    code = bench([str(twins["echo"].root), "--against", str(twins["plain"].root), *small, *limits])
    report = OverheadReport.read(tmp_path / "report.json")
    assert code == {"equivalent": 0, "not_equivalent": 3, "inconclusive": 4}[report.verdict]
    assert all(check.same for check in report.structure)
    assert {(test.variant, test.metric, test.concurrency) for test in report.tests} == {
        (variant, metric, at) for variant in ("candidate", "control") for metric in METRICS for at in (1, 2)
    }
    assert {speed.variant for speed in report.speeds} == {"candidate", "baseline", "control", "base"}
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "report.json").read_text())["server"]["max_loras"] == 3 + on_cpu()
