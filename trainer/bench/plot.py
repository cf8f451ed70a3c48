"""The bench report as one picture: the arms' step times, and how the ratios grow with supervised share and length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.training.training_bench import BenchReport

_COLOURS = {
    "lora": "#4c72b0",
    "dora": "#55a868",
    "echo_lora": "#dd8452",
    "echo_dora": "#c44e52",
    "echo_lora_two_pass": "#8c8c8c",
    "echo_dora_two_pass": "#5c5c5c",
    "peft_lora": "#8172b3",
    "peft_dora": "#937860",
}
_AXES = {"supervised_share": "share of supervised tokens", "length": "longest sample in tokens"}


def plot_report(report: BenchReport, path: Path) -> Path:
    """Writes the picture as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = [axis for axis in _AXES if any(point.axis == axis for point in report.sweep)]
    figure, panels = plt.subplots(1, 1 + len(axes), figsize=(5.2 * (1 + len(axes)), 4.2), squeeze=False)
    _bars(panels[0][0], report)
    for panel, axis in zip(panels[0][1:], axes, strict=True):
        _curves(panel, report, axis)
    figure.suptitle(f"{report.parameters / 1e6:,.0f}M parameters on {report.machine.device}", fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _bars(panel: Any, report: BenchReport) -> None:
    names = [arm.arm for arm in report.arms]
    panel.barh(names, [arm.median_seconds for arm in report.arms], color=[_COLOURS[name] for name in names])
    for row, arm in enumerate(report.arms):
        panel.plot(arm.seconds, [row] * len(arm.seconds), "|", color="black", markersize=5, alpha=0.5)
    panel.invert_yaxis()
    panel.set_xlabel(f"seconds per optimizer step ({report.supervised_share:.1%} supervised)")


def _curves(panel: Any, report: BenchReport, axis: str) -> None:
    """Median ratio over plain LoRA, quartiles shaded."""
    for name in dict.fromkeys(point.arm for point in report.sweep):
        points = sorted((p for p in report.sweep if p.axis == axis and p.arm == name), key=lambda point: point.value)
        values = [point.value for point in points]
        panel.plot(values, [point.median for point in points], "o-", label=name, color=_COLOURS[name], markersize=4)
        quartiles = [point.low for point in points], [point.high for point in points]
        panel.fill_between(values, *quartiles, color=_COLOURS[name], alpha=0.2)
    panel.set_xlabel(_AXES[axis])
    panel.set_ylabel("step time over our plain LoRA")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
