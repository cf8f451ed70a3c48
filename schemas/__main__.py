"""python -m schemas: writes the JSON Schema of every document, or the reference pages of docs/."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from schemas.catalog import DOCUMENTS
from schemas.document import write_atomically
from schemas.errors import OK, UserError, run_command
from schemas.reference_pages import pages


def main(argv: list[str]) -> int:
    """Parses, writes, prints the paths."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas", description="The documents that pass between the stages."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write the JSON Schema of every document into a directory")
    docs = commands.add_parser(
        "docs", help="write the reference pages configuration.md and documents.md into a directory"
    )
    for command in (export, docs):
        command.add_argument("directory", type=Path)
    arguments = parser.parse_args(argv)
    written = _json_schemas() if arguments.command == "export" else pages()
    for name, text in written.items():
        _refuse_another_file(arguments.directory / name, text)
    for name, text in written.items():
        print(write_atomically(arguments.directory / name, text.encode()))
    return OK


def _json_schemas() -> dict[str, str]:
    return {f"{one.__name__}.json": json.dumps(one.model_json_schema(), indent=2) + "\n" for one in DOCUMENTS}


def _refuse_another_file(path: Path, text: str) -> None:
    """Raises UserError where something else than an earlier export of the same would be replaced."""
    if path.exists() and not _is_an_earlier(path, text):
        raise UserError("this file is none of ours, and would be replaced", where=path, fix="choose another directory")


def _is_an_earlier(path: Path, text: str) -> bool:
    """Whether a schema has the same title, a page the same first line."""
    try:
        old = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return bool(json.loads(old)["title"] == json.loads(text)["title"])
        return old.splitlines()[:1] == text.splitlines()[:1]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


if __name__ == "__main__":
    run_command(main)
