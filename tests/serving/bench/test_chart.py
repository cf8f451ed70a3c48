"""The report for people: every figure that decides is on the screen and in the plot."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from schemas.evaluation.eval_report import AdapterReference
from schemas.serving.overhead_report import Load, OverheadReport, StructuralCheck
from schemas.serving.serving_attestation import ServerRecord
from serving.bench.chart import plot_report, print_report
from serving.bench.rounds import Plan
from serving.bench.verdict import compare_variants, decide, summarise


@pytest.fixture
def report(measurements):
    measured, plan = measurements(candidate=1.1), Plan({}, (1,), 1, 1, 1, (0,), 0)
    structure = (StructuralCheck(what="rank", same=True, detail="4"),)
    tests = tuple(compare_variants(measured, plan, 0.02))
    verdict, reason = decide(structure, tests, 0.02)
    one = {"waves": 1, "prompt_tokens": 1, "output_tokens": 1, "concurrency": (1,), "warm_up_rounds": 0, "seed": 0}
    adapters = [AdapterReference(name=name, method="lora", manifest_sha256="0" * 64) for name in ("echo", "plain")]
    return OverheadReport(
        created=datetime.now(UTC),
        candidate=adapters[0],
        baseline=adapters[1],
        server=ServerRecord(
            vllm="0", dtype="float32", max_lora_rank=8, max_loras=2, device="a CPU", platform="Linux", versions={}
        ),
        margin=0.02,
        structure=structure,
        load=Load(**one, pilot_rounds=6, planned_rounds=12, rounds=12),
        speeds=tuple(summarise(measured)),
        tests=tests,
        verdict=verdict,
        reason=reason,
        seconds=1.0,
    )


def test_the_screen_shows_structure_tests_speeds_and_verdict(report):
    screen = Console(file=io.StringIO(), width=160)
    print_report(report, screen)
    shown = screen.file.getvalue()
    for part in (
        "same  rank: 4",
        "echo over plain, 12 A/B/B/A rounds",
        "1.1000",
        "not equivalent: outside of the margin",
    ):
        assert part in shown


def test_the_plot_is_a_png(report, tmp_path):
    plot_report(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
