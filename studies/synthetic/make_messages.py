"""python -m studies make-messages DIR: what the command takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from schemas.errors import OK
from schemas.storage.files import refuse_occupied
from studies.synthetic.customer_messages import PARTS, ROWS, make_messages


def main(argv: list[str]) -> int:
    """Parses, makes, prints what lies where."""
    parser = argparse.ArgumentParser(
        prog="python -m studies make-messages",
        description="Writes customers' messages with their JSON, by a seeded recipe: train, validation and test.jsonl, which "
        "share no wording, no product and no date.",
    )
    parser.add_argument("out", type=Path, metavar="DIR", help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="another world of messages (default: 0)")
    for part in PARTS:
        parser.add_argument(
            f"--{part}", type=int, default=ROWS[part], metavar="N", help=f"rows (default: {ROWS[part]})"
        )
    arguments = parser.parse_args(argv)
    refuse_occupied(arguments.out)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = {part: getattr(arguments, part) for part in PARTS}
    make_messages(arguments.out, rows, arguments.seed)
    print(f"{arguments.out}: {', '.join(f'{count} {part}' for part, count in rows.items())} messages")
    return OK
