"""python -m studies page DIR: a finished study's page, from its report alone, for results that are kept without their runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.document import write_atomically
from schemas.errors import OK
from schemas.studies.study_report import StudyReport


def main(argv: list[str]) -> int:
    """Parses, reads, writes, prints the path."""
    parser = argparse.ArgumentParser(
        prog="python -m studies page",
        description="Writes report.html from a study's study_report.json. Learning curves need the runs: `analyse` draws them.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="holds study_report.json")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: DIR/report.html)")
    arguments = parser.parse_args(argv)
    report = StudyReport.read(arguments.directory / "study_report.json")

    from studies.analysis.page import study_page

    page = study_page(report, curves={})
    print(write_atomically(arguments.out or arguments.directory / "report.html", page.encode()))
    return OK
