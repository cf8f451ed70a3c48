"""python -m schemas export DIR: writes the JSON Schema of every document."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from schemas.catalog import DOCUMENTS
from schemas.document import write_atomically
from schemas.errors import OK, run_command


def main(argv: list[str]) -> int:
    """Parses, exports, prints."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas", description="The documents that pass between the stages."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write the JSON Schema of every document into a directory")
    export.add_argument("directory", type=Path)
    arguments = parser.parse_args(argv)
    for document in DOCUMENTS:
        schema = json.dumps(document.model_json_schema(), indent=2) + "\n"
        print(write_atomically(arguments.directory / f"{document.__name__}.json", schema.encode()))
    return OK


if __name__ == "__main__":
    run_command(main)
