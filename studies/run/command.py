"""python -m studies CONFIG: what the command takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from schemas.errors import OK

_DESCRIPTION = """\
Compares training methods on equal terms: arms x seeds x bases from one YAML file (schema: StudyConfig).

  python -m studies configs/studies/quickstart.yaml --plan    runs, compute, hours, disk, detectable difference
  python -m studies configs/studies/quickstart.yaml           runs what is missing, then analyses

Writes study_plan.json, with a hash of everything that was planned, before the first run, and refuses a changed plan unless
you own up to the change (--amend). Then it chooses every arm's learning rate on validation rows from one grid, trains every
arm with every seed, scores all of them on the same test items, and writes study_report.json, report.html and summary.md.
Run the same command again after a stop of any kind: what is whole is kept. Every GPU gets a run at a time.
"""


def main(argv: list[str]) -> int:
    """Parses, loads, calls, prints."""
    parser = argparse.ArgumentParser(
        prog="python -m studies", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a study in YAML; configs/studies/ holds ready ones")
    parser.add_argument("--plan", action="store_true", help="say what the study takes and could detect; run nothing")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="runs at a time on the CPU (default: 1)")
    parser.add_argument(
        "--amend", metavar="REASON", help="go on with a changed plan; the report shows change and reason"
    )
    parser.add_argument("--directory", metavar="DIR", help="where plan, runs and report go, in place of the config's")
    arguments = parser.parse_args(argv)

    from studies.run.study_file import load_study
    from studies.synthetic.prepare import require_prepared

    study = load_study(arguments.config, arguments.directory)
    require_prepared(study, arguments.config)
    console = Console()
    if arguments.plan:
        from studies.run.estimate import estimate

        estimate(study, console)
        return OK

    from studies.run.driver import run_study

    run_study(study, console, jobs=arguments.jobs, amend=arguments.amend)
    return OK


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
