"""The report for people: a table on the terminal, and a plot of every interval against the margin."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.table import Table

from schemas.document import write_atomically
from schemas.serving.overhead_report import OverheadReport


def print_report(report: OverheadReport, console: Console) -> None:
    """Structure, tests, speeds, verdict."""
    for check in report.structure:
        console.print(f"{'[green]same[/green]' if check.same else '[red]differs[/red]'}  {check.what}: {check.detail}")
    tests = Table(title=f"{report.candidate.name} over {report.baseline.name}, {report.load.rounds} A/B/B/A rounds")
    for column in ("metric", "requests", "variant", "ratio", "90 % interval", "p", "noise", "verdict"):
        tests.add_column(column)
    for test in report.tests:
        tests.add_row(
            test.metric.replace("_", " "),
            str(test.concurrency),
            test.variant,
            f"{test.ratio:.4f}",
            f"{test.low:.4f} to {test.high:.4f}",
            f"{test.p_value:.2g}",
            f"{test.noise:.3f}",
            test.verdict.replace("_", " "),
        )
    console.print(tests)
    speeds = Table(title="Medians; base and merged for information")
    for column in ("variant", "requests", "first token", "between tokens", "tokens/s"):
        speeds.add_column(column, justify="right")
    for speed in report.speeds:
        first, between = f"{speed.time_to_first_token * 1e3:.2f} ms", f"{speed.inter_token_latency * 1e3:.2f} ms"
        speeds.add_row(speed.variant, str(speed.concurrency), first, between, f"{speed.tokens_per_second:.1f}")
    console.print(speeds)
    console.print(f"[bold]{report.verdict.replace('_', ' ')}[/bold]: {report.reason}")


def plot_report(report: OverheadReport, path: Path) -> None:
    """One line per test: ratio and interval, the margin shaded."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = {"candidate": "#1f4e79", "control": "#9a9a9a"}
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(report.tests) + 1.6), layout="constrained")
    axes.axvspan(1 / (1 + report.margin), 1 + report.margin, color="#d9ead3", label=f"margin {report.margin:.0%}")
    axes.axvline(1, color="black", linewidth=0.5)
    labels = []
    for row, test in enumerate(reversed(report.tests)):
        axes.plot([test.low, test.high], [row, row], color=colours[test.variant], linewidth=2)
        axes.plot(test.ratio, row, "o", color=colours[test.variant])
        labels.append(f"{test.metric.replace('_', ' ')}, {test.concurrency} at once, {test.variant}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(f"time relative to {report.baseline.name} (90 % interval, {report.load.rounds} rounds)")
    axes.set_title(f"{report.candidate.name}: {report.verdict.replace('_', ' ')} on {report.server.device}")
    axes.legend(loc="lower right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    pyplot.close(figure)
    write_atomically(path, buffer.getvalue())
