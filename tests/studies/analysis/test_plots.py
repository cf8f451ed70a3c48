"""The study's plots, each with what a reader who cannot see it is told."""

from __future__ import annotations

from schemas.studies.study_report import StudyReport
from schemas.training.training_metrics import TrainingMetrics
from studies.analysis.plots import accuracy_by_compute, forest, learning_curves


def metrics(*losses: float) -> list[TrainingMetrics]:
    return [TrainingMetrics(step=n, epoch=0.1, seconds=1.0, loss=loss) for n, loss in enumerate(losses, start=1)]


def test_every_contrast_has_a_row_in_the_forest(report: StudyReport) -> None:
    plot = forest(report)
    assert "echo_lora − lora" in plot.svg
    assert "95% interval" in plot.caption


def test_every_arm_has_its_mark_against_its_compute(report: StudyReport) -> None:
    plot = accuracy_by_compute(report, "small")
    assert all(f">{one.arm}<" in plot.svg for one in report.arms)


def test_learning_curves_are_drawn_where_there_are_metrics() -> None:
    assert learning_curves({("small", "lora"): [[], []]}, "small") is None
    plot = learning_curves({("small", "lora"): [metrics(2.0, 1.0), metrics(3.0, 1.5)]}, "small")
    assert plot is not None
    assert ">lora<" in plot.svg
