"""python -m trainer push RUN REPO: what the command takes."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from schemas.base.find_base import is_repository
from schemas.errors import OK, UserError
from schemas.run_directory import RunDirectory

_DESCRIPTION = """\
Puts a run's adapter on the hub: the four files that PEFT and this product read, and a card with the scores of the run's
reports as metadata, which the hub checks before anything goes up.

  python -m trainer push runs/mine me/my-adapter --to DIR     writes the folder here, to look at; nothing goes out
  python -m trainer push runs/mine me/my-adapter              uploads it, private unless --public
"""


def main(argv: list[str]) -> int:
    """Parses, prepares, uploads, prints."""
    arguments = _parser().parse_args(argv)
    if not is_repository(arguments.repository):
        raise UserError("a repository's name is owner/name", where=arguments.repository)
    from trainer.push.folder import prepare

    run, console = RunDirectory(arguments.run), Console()
    if arguments.to is not None:
        if arguments.to.exists():
            raise UserError("there is something already", where=arguments.to, fix="name what does not exist yet")
        with tempfile.TemporaryDirectory(dir=_existing(arguments.to.parent)) as staged:
            folder = Path(staged) / "folder"
            folder.mkdir()
            scores = prepare(run, folder)
            folder.rename(arguments.to)
        console.print(f"{arguments.to}: four files, {scores} scores in the card", highlight=False, soft_wrap=True)
        return OK
    from trainer.push.upload import upload

    with tempfile.TemporaryDirectory() as staged:
        scores = prepare(run, Path(staged))
        address = upload(Path(staged), arguments.repository, private=not arguments.public)
    console.print(f"{address}: four files, {scores} scores in the card", highlight=False, soft_wrap=True)
    return OK


def _existing(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer push", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory")
    parser.add_argument("repository", metavar="REPO", help="owner/name on the hub; made where it does not exist")
    parser.add_argument("--public", action="store_true", help="make a new repository public (default: private)")
    parser.add_argument("--to", type=Path, metavar="DIR", help="write the folder here and upload nothing")
    return parser
