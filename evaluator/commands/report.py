"""python -m evaluator report RUN [RUN2 ...]: one self-contained HTML page about a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluator.comparison.paired import Resampling
from evaluator.comparison.seed_groups import find_seed_group, read_seed_groups, shared_suites
from evaluator.comparison.summary import Summary, finding, summarise
from evaluator.gate.table import p_text, points, summaries
from evaluator.report.contents import attestation_facts, headline, loss_plot, section
from evaluator.report.sample_browser import browser_data, to_script
from evaluator.report.themed_svg import SERIES
from schemas.document import write_atomically
from schemas.errors import OK
from schemas.run_directory import RunDirectory

SAMPLES = 3_000


def main(argv: list[str]) -> int:
    """Parses, writes the page, prints its path."""
    arguments = _parser().parse_args(argv)
    page = report_page(arguments.runs, arguments.suite, arguments.against, arguments.samples)
    path = arguments.out or arguments.runs[0] / "report.html"
    print(write_atomically(path, page.encode()))
    return OK


def report_page(
    runs: Sequence[Path], suites: Sequence[str] | None = None, against: str | None = None, samples: int = SAMPLES
) -> str:
    """The page about the first run, with the other runs beside it.

    Args:
        runs: run directories; the page is about the first.
        suites: what to show; None takes every suite that all runs share.
        against: the baseline, as in `compare`.
        samples: most items in the sample browser.

    Raises:
        UserError: a report is missing, does not verify, or cannot be compared with the others.
    """
    results = [_summary(runs, suite, against) for suite in shared_suites(runs, suites)]
    subjects = [
        next(
            one
            for row in result.rows
            for one in row.group.runs
            if one.evaluation.run.root == runs[0]
            and (one.variant == "adapter" or one.evaluation.report.adapter is None)
        )
        for result in results
    ]
    sections = [section(result, subject) for result, subject in zip(results, subjects, strict=True)]
    decision, title, lead = headline(sections, subjects[0])
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            decision=decision,
            title=title,
            lead=lead,
            sections=sections,
            loss=loss_plot(results),
            facts=attestation_facts(RunDirectory(runs[0])),
            samples=to_script(browser_data(results, samples)),
            created=datetime.now(UTC),
        )
    )


def _summary(runs: Sequence[Path], suite: str, against: str | None) -> Summary:
    groups = read_seed_groups(runs, suite)
    return summarise(groups, find_seed_group(groups, against), Resampling())


def environment(*packages: tuple[str, str]) -> Environment:
    """The templates of the report, and of further folders (package, folder); they share filters and stylesheet."""
    loader = ChoiceLoader([PackageLoader(*package) for package in (("evaluator", "report"), *packages)])
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals |= {"include": lambda name: Markup(_source(made, name)), "series": len(SERIES)}  # noqa: S704
    filters: dict[str, Callable[..., object]] = {
        "percent": lambda value: f"{value * 100:.1f}",
        "points": lambda difference: points(difference).replace("-", "−"),
        "p_text": p_text,
        "finding": finding,
        "summaries": lambda verdict: list(summaries(verdict.checks)),
    }
    made.filters |= filters
    return made


def _source(environment: Environment, name: str) -> str:
    """Our own stylesheet or script, verbatim."""
    loader = environment.loader
    return loader.get_source(environment, name)[0] if loader else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator report",
        description="Writes one HTML page that needs nothing but itself: verdict, tables, plots and a sample browser.",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="the run the page is about, then others beside it"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: RUN/report.html)")
    parser.add_argument("--suite", nargs="+", metavar="NAME", help="suites to show (default: all that the runs share)")
    parser.add_argument(
        "--against", metavar="RUN", help="the baseline: one of the runs, or base (default: the last run)"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES,
        metavar="N",
        help=f"most items in the sample browser (default: {SAMPLES})",
    )
    return parser
