"""python -m studies prepare: makes the bases and tasks that the ready studies name, and holds them against their record.

They are not kept in the repository, since recipes make them; `configs/studies/made.sha256` keeps their hashes, in the form
that `sha256sum --check` reads. Tasks come out the same everywhere. A base comes out the same on equal processors; elsewhere
sums are rounded otherwise, so a study there is one of its own, whose plan has other hashes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from schemas.document import sha256_of
from schemas.errors import OK, UserError
from schemas.storage.files import replace_directory
from schemas.studies.study_config import StudyConfig

FOLDER = Path("configs/studies")
RECORD = FOLDER / "made.sha256"
START = Path("configs/quickstart/base")


@dataclass(frozen=True)
class Recipe:
    """How one folder of inputs is made."""

    make: Callable[[Path], None]
    """Writes it into a directory."""
    takes: str
    """How long, for people."""


def _base(name: str) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        from studies.synthetic.base import RECIPES, make_base

        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".making-{out.name}-") as scratch:
            staged = Path(scratch) / out.name  # a stop leaves no half of a base
            make_base(staged, recipe=RECIPES[name], start=START)
            replace_directory(staged, out, [path.name for path in staged.iterdir()])

    return make


def _tasks(out: Path) -> None:
    from studies.synthetic.tasks import make_tasks

    make_tasks(out, task_set="study")


def _validation(out: Path) -> None:
    from studies.synthetic.tasks import make_validation

    make_validation(out, task_set="study")


RECIPES: Mapping[str, Recipe] = {
    "tasks": Recipe(_tasks, "a second"),
    "validation": Recipe(_validation, "a second"),
    "bases/small": Recipe(_base("study_small"), "about five minutes"),
    "bases/deep": Recipe(_base("study_deep"), "about ten minutes"),
}


def main(argv: list[str]) -> int:
    """Parses, makes what is missing, prints how it compares with the record."""
    parser = argparse.ArgumentParser(
        prog="python -m studies prepare",
        description="Makes the bases and tasks that ready studies name, where they are not here, and compares them with "
        f"their recorded hashes ({RECORD}).",
    )
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG", help="only what these studies name (all)")
    arguments = parser.parse_args(argv)

    from studies.run.study_file import load_study

    named = [made_inputs(load_study(path)) for path in arguments.configs]
    wanted = [one for one in RECIPES if not named or any(one in inputs for inputs in named)]
    console = Console()
    for folder in wanted:
        _prepare(folder, console)
    return OK


def made_inputs(study: StudyConfig) -> set[str]:
    """The folders made by recipe that a study reads, by their names in RECIPES."""
    return {folder for folder in RECIPES for text in _texts(study.model_dump(mode="json")) if _lies_in(text, folder)}


def require_prepared(study: StudyConfig, config: Path) -> None:
    """Refuses a study whose made inputs are not here yet.

    Raises:
        UserError: with the command that makes them.
    """
    missing = sorted(folder for folder in made_inputs(study) if missing_files(folder))
    if missing:
        raise UserError(
            f"the study's inputs are not made yet: {', '.join(str(FOLDER / folder) for folder in missing)}",
            where=config,
            fix=f"python -m studies prepare {config}",
        )


def recorded(folder: str) -> dict[Path, str]:
    """The hash of each file of a made folder, as it was when the results were measured."""
    lines = (line.split(maxsplit=1) for line in RECORD.read_text().splitlines())
    return {Path(path): sha256 for sha256, path in lines if _lies_in(path, folder)}


def missing_files(folder: str) -> list[Path]:
    """Recorded files that are not here."""
    return [path for path in recorded(folder) if not path.is_file()]


def differing_files(folder: str) -> list[Path]:
    """Recorded files that are here with other bytes."""
    return [path for path, sha256 in recorded(folder).items() if path.is_file() and sha256_of(path) != sha256]


def _prepare(folder: str, console: Console) -> None:
    place, recipe = FOLDER / folder, RECIPES[folder]
    if missing_files(folder):
        console.print(f"{place}: making it, {recipe.takes} on a core", highlight=False)
        recipe.make(place)
    other = differing_files(folder)
    if not other:
        console.print(f"{place}: {len(recorded(folder))} files, byte for byte as recorded", highlight=False)
    elif folder.startswith("bases"):
        console.print(
            f"[yellow]{place}: {len(other)} of {len(recorded(folder))} files differ from the record[/]: this processor rounds "
            "otherwise than the one that the results were measured on, so a study on it is one of its own",
            highlight=False,
            soft_wrap=True,
        )
    else:
        raise UserError(f"{len(other)} files are not what the recipe makes", where=other[0], fix=f"delete {place}")


def _lies_in(path: str, folder: str) -> bool:
    place = f"{FOLDER}/{folder}"
    return path == place or path.startswith(f"{place}/")


def _texts(value: object) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
