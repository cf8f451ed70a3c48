"""python -m studies analyse DIR: tests what a study planned to test, and writes report, page and summary."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.document import write_atomically
from schemas.errors import OK, UserError
from schemas.studies.study_report import StudyReport
from studies.analysis.power import Noise, sentence
from studies.analysis.repetition import repeated_runs, repetition_table

_COLOURS = {"different": "green", "equivalent": "cyan", "inconclusive": "yellow", "not_tested": "yellow"}
_DESCRIPTION = """\
Analyses a finished study (`python -m studies CONFIG` calls this at its end):

  python -m studies analyse DIR     writes DIR/study_report.json, report.html and summary.md

and, where it repeats runs of an earlier study, whether their adapters are the same to the bit, and both scores:

  python -m studies analyse DIR --repeats REPORT

or says what a design could detect, from the noise of a pilot (fractions, as in a study report):

  python -m studies analyse --power --seeds 5 --seed-deviation 0.02 --item-error 0.004
"""


def main(argv: list[str]) -> int:
    """Parses, analyses, writes, prints; the answer is in the table, so the exit code is 0 whatever it is."""
    arguments = _parser().parse_args(argv)
    if arguments.power:
        noise = Noise(arguments.seed_deviation, arguments.item_error)
        print(
            sentence(
                noise, seeds=arguments.seeds, detect=arguments.detect, level=arguments.level, tests=arguments.tests
            )
        )
        return OK
    if arguments.directory is None:
        raise UserError("no study was named", where="command line", fix="python -m studies analyse DIR")
    earlier = StudyReport.read(arguments.repeats) if arguments.repeats else None
    analyse_and_print(arguments.directory, Console(), earlier)
    return OK


def analyse_and_print(directory: Path, console: Console, earlier: StudyReport | None = None) -> None:
    """Analyses a study and shows what was found; with an `earlier` report, also which of its runs came out the same.

    Raises:
        UserError: as `analyse`.
    """
    report = analyse(directory, console)
    console.print(findings_table(report))
    if earlier:
        console.print(repetition_table(repeated_runs(report, earlier)))
    for name in ("study_report.json", "report.html", "summary.md"):
        console.print(str(directory / name), highlight=False, soft_wrap=True)


def analyse(directory: Path, console: Console) -> StudyReport:
    """Reads, tests, writes.

    Raises:
        UserError: a run is missing, does not verify, or was not trained as planned.
    """
    from studies.analysis.page import curves_of, study_page
    from studies.analysis.report import study_report
    from studies.analysis.results import read_results
    from studies.analysis.summary import summary

    with console.status("Verifying every run, resampling"):
        results = read_results(directory)
        report = study_report(results)
        page = study_page(report, curves_of(results))
    report.write(directory / "study_report.json")
    write_atomically(directory / "report.html", page.encode())
    write_atomically(directory / "summary.md", summary(report).encode())
    return report


def findings_table(report: StudyReport) -> Table:
    """One row per contrast."""
    table = Table(title=report.study.name, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contrast", no_wrap=True)
    table.add_column("finding")
    for one in report.contrasts:
        name = f"{one.candidate} - {one.baseline}" + (f" on {one.base}" if len(report.bases) > 1 else "")
        table.add_row(name, Text(one.sentence, style=_COLOURS[one.finding]))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies analyse", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="the study's directory")
    parser.add_argument(
        "--repeats", type=Path, metavar="REPORT", help="a study_report.json with runs that this study repeats"
    )
    parser.add_argument("--power", action="store_true", help="only say what a design could detect")
    parser.add_argument("--seeds", type=int, default=5, metavar="S", help="seeds per arm (5)")
    parser.add_argument(
        "--seed-deviation", type=float, default=0.0, metavar="X", help="between seeds, of a paired difference"
    )
    parser.add_argument(
        "--item-error", type=float, default=0.0, metavar="X", help="standard error from the items alone"
    )
    parser.add_argument(
        "--detect", type=float, default=0.01, metavar="X", help="the difference one wants to see (0.01)"
    )
    parser.add_argument("--level", type=float, default=0.05, metavar="X", help="of the tests (0.05)")
    parser.add_argument("--tests", type=int, default=1, metavar="N", help="planned contrasts, for Holm (1)")
    return parser
