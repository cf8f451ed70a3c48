"""python -m studies make-base DIR: what the command takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.errors import OK
from schemas.storage.files import refuse_occupied
from studies.synthetic.base import RECIPES, make_base


def main(argv: list[str]) -> int:
    """Parses and makes."""
    parser = argparse.ArgumentParser(prog="python -m studies make-base", description=__doc__)
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="of the invented world and the weights (default: 0)")
    parser.add_argument("--recipe", choices=RECIPES, default="quickstart", help="which base (default: quickstart)")
    parser.add_argument(
        "--start",
        type=Path,
        default=Path("configs/quickstart/base"),
        help="base of the same seed that the study recipes continue (default: the shipped one)",
    )
    arguments = parser.parse_args(argv)
    refuse_occupied(arguments.out)
    make_base(arguments.out, arguments.seed, RECIPES[arguments.recipe], arguments.start)
    return OK
