"""The bench report as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from schemas.training.training_bench import BenchReport, Ratio


def report_tables(report: BenchReport) -> list[Table]:
    """The arms, and the comparisons with their bars."""
    return [_arms(report), _ratios(report)]


def _arms(report: BenchReport) -> Table:
    machine = report.machine
    table = Table(
        title=f"{report.parameters / 1e6:,.0f}M parameters, {report.supervised_share:.1%} supervised, {machine.device}",
        caption=f"MFU: 4 N tokens/s over {machine.peak_flops / 1e12:.3g} TFLOP/s ({machine.peak_source})",
    )
    table.add_column("arm")
    for heading in ("s/step", "tokens/s", "supervised/s", "MFU", "peak memory"):
        table.add_column(heading, justify="right")
    for arm in report.arms:
        memory = "" if arm.peak_memory_bytes is None else f"{arm.peak_memory_bytes / 2**20:,.0f} MiB"
        table.add_row(
            arm.arm,
            f"{arm.median_seconds:.3f}",
            f"{arm.tokens_per_second:,.0f}",
            f"{arm.supervised_tokens_per_second:,.0f}",
            f"{arm.mfu:.1%}",
            memory,
        )
    return table


def _ratios(report: BenchReport) -> Table:
    table = Table(title=f"ratios, median and quartiles of {report.config.rounds} ABBA rounds")
    table.add_column("comparison")
    for heading in ("median", "quartiles", "bar", ""):
        table.add_column(heading, justify="right")
    for ratio in report.ratios:
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[ratio.met]
        spread = f"{ratio.low:.3f} to {ratio.high:.3f}" if len(ratio.rounds) > 1 else ""
        table.add_row(
            f"{ratio.quantity} {ratio.arm} / {ratio.over}", f"{ratio.median:.3f}", spread, _bar(ratio), verdict
        )
    return table


def _bar(ratio: Ratio) -> str:
    if ratio.at_most is not None:
        return f"at most {ratio.at_most:g}"
    return "" if ratio.at_least is None else f"at least {ratio.at_least:g}"
