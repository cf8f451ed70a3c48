"""python -m evaluator compare RUN RUN ...: many runs and seeds beside each other."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluator.comparison.paired import Resampling
from evaluator.comparison.seed_groups import SeedGroup, find_seed_group, read_seed_groups, shared_suites
from evaluator.comparison.summary import THESE_WEIGHTS, Summary, SummaryRow, finding, summarise
from evaluator.gate.current_verdict import current_verdict
from evaluator.gate.table import COLOURS, comparison_table, p_text, points
from evaluator.tasks.names import short_names
from schemas.errors import OK

MOST_TASK_COLUMNS = 10
FINDING_COLOURS = {"better": "green", "worse": "red", "no difference shown": "yellow", "one run a side": "dim"}


def main(argv: list[str]) -> int:
    """Parses, compares, prints; the answer is in the tables, so the exit code is 0 whoever wins."""
    arguments = _parser().parse_args(argv)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no width; folded tables help nobody
    for suite in shared_suites(arguments.runs, arguments.suite):
        groups = read_seed_groups(arguments.runs, suite)
        result = summarise(
            groups, find_seed_group(groups, arguments.against), Resampling(resamples=arguments.resamples)
        )
        console.print(summary_table(result, console.width))
        for sentence in _sentences(result):
            console.print(sentence)
        if arguments.details or len(next(iter(result.rows)).tasks) > MOST_TASK_COLUMNS:
            for baseline in dict.fromkeys(name for row in result.rows for name in row.against):
                for comparison in result.comparisons(baseline).values():
                    console.print(comparison_table(comparison))
    return OK


def summary_table(result: Summary, width: int) -> Table:
    """Base, baseline and the others: accuracy per task and macro, unparsed answers, paired difference.

    One row each; where the terminal is too narrow for that, one column each.
    """
    cells = list(map(list, zip(*_columns(result), strict=True)))
    if width < 8 * len(cells[0]) + 14:
        cells = list(map(list, zip(*cells, strict=True)))
    table = Table(
        title=f"{result.suite}: accuracy in %",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for index, head in enumerate(cells[0]):
        table.add_column(head, justify="right" if index else "left")
    for row in cells[1:]:
        table.add_row(*row)
    return table


def _columns(result: Summary) -> Iterator[list[str | Text]]:
    """The table column by column, each with its head first."""
    rows, baseline = result.rows, result.baseline
    tasks = list(rows[0].tasks)
    names = short_names(tasks) if len(tasks) <= MOST_TASK_COLUMNS else {}
    yield ["", *(row.group.label for row in rows)]
    for task, name in names.items():
        yield [name, *(f"{row.tasks[task] * 100:.1f}" for row in rows)]
    yield ["macro", *(Text(f"{row.macro * 100:.1f}", style="bold") for row in rows)]
    if any(row.spread is not None for row in rows):
        yield ["seeds", *(str(len(row.group.runs)) for row in rows)]
        yield ["spread", *("" if row.spread is None else f"{row.spread * 100:.1f}" for row in rows)]
    yield ["unparsed", *(f"{row.unparsed / row.total:.1%}" for row in rows)]
    if any(row.unscored for row in rows):
        yield ["unscored", *(str(row.unscored) for row in rows)]
    yield [f"against {baseline.label}", *(_against(row, baseline) for row in rows)]


def _against(row: SummaryRow, baseline: SeedGroup) -> Text:
    paired = row.against.get(baseline.label)
    if paired is None:
        return Text("baseline" if row.group is baseline else "", style="dim")
    found = finding(paired.document)
    return Text.assemble(f"{points(paired.document.macro)}\n", (found, FINDING_COLOURS[found]))


def _sentences(result: Summary) -> Iterator[Text]:
    """One line per pair, with what the sample could have shown; then what the gate said."""
    for baseline in dict.fromkeys(name for row in result.rows for name in row.against):
        for label, comparison in result.comparisons(baseline).items():
            macro, found = comparison.macro, finding(comparison)
            worst = min(comparison.tasks.values(), key=lambda task: task.p_holm)
            seeds = f"; {THESE_WEIGHTS}" if found == "one run a side" else ""
            yield Text.assemble(
                f"{label} against {baseline}: ",
                (found, FINDING_COLOURS[found]),
                f", {points(macro)}, smallest p over tasks {p_text(worst.p_holm)} (Holm); "
                f"detectable here: {macro.minimum_detectable_effect * 100:.1f} points{seeds}",
            )
            for note in comparison.notes:
                yield Text(f"  {note}", style="dim")
    for row in result.rows:
        for one in row.group.runs:
            verdict = current_verdict(one.evaluation) if one.variant == "adapter" else None
            if verdict:
                decision = (verdict.decision, f"bold {COLOURS[verdict.decision]}")
                yield Text.assemble(f"gate {verdict.policy.name}, {one.name}: ", decision, f". {verdict.reason}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator compare",
        description="Compares runs on the same items. Runs whose training configs differ only in the seed are one seed group; "
        "their spread then widens the intervals.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    parser.add_argument("--suite", nargs="+", metavar="NAME", help="suites to show (default: all that the runs share)")
    parser.add_argument(
        "--against",
        metavar="RUN",
        help="the baseline: one of the runs, or base (default: the last named run's seed group)",
    )
    parser.add_argument(
        "--resamples", type=int, default=10_000, metavar="R", help="bootstrap resamples (default: 10000)"
    )
    parser.add_argument("--details", action="store_true", help="also print every task's paired figures")
    return parser
