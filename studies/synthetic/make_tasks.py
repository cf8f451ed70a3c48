"""python -m studies make-tasks DIR: what the command takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.errors import OK
from schemas.storage.files import refuse_occupied
from studies.synthetic.tasks import TASK_SETS, make_tasks, make_validation


def main(argv: list[str]) -> int:
    """Parses and makes."""
    parser = argparse.ArgumentParser(prog="python -m studies make-tasks", description=__doc__)
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="of the invented world (default: 0)")
    parser.add_argument("--set", choices=TASK_SETS, default="quickstart", help="which tasks (default: quickstart)")
    for_rates = "write validation items instead, for a study to choose its rates on"
    parser.add_argument("--validation", action="store_true", help=for_rates)
    arguments = parser.parse_args(argv)
    refuse_occupied(arguments.out)
    (make_validation if arguments.validation else make_tasks)(arguments.out, arguments.seed, arguments.set)
    return OK
