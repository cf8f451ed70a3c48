"""python -m trainer adopt ADAPTER --base BASE: what the command takes."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from schemas.base.base_model import read_config
from schemas.base.find_base import find_base
from schemas.errors import OK, UserError
from schemas.prompt import TEMPLATES
from schemas.run_directory import RunDirectory
from schemas.training.train_config import BaseModelConfig

_DESCRIPTION = """\
Makes a run directory of a LoRA or DoRA adapter that PEFT, axolotl, LLaMA-Factory, unsloth, TRL or ms-swift trained.

  python -m trainer adopt outputs/checkpoint-500 --base meta-llama/Llama-3.2-1B --template chat
  python -m evaluator runs/checkpoint-500 --suite my_task.yaml

Only adapter_config.json and adapter_model.safetensors are read, as files that a stranger wrote. Ranks and alphas by pattern,
rsLoRA and adapters of some layers become one rank and one alpha, proven equal on the recorded texts. What goes beyond a
LoRA of linear modules (modules_to_save, token embeddings, pickled weights) is refused by name.
"""
_DTYPES = ("float32", "bfloat16", "float16")


def main(argv: list[str]) -> int:
    """Parses, adopts, prints."""
    arguments = _parser().parse_args(argv)
    if not arguments.adapter.is_dir():
        raise UserError(
            "there is no such adapter directory",
            where=arguments.adapter,
            fix="from a hub: hf download REPO --local-dir DIR",
        )
    name = arguments.name or re.sub(r"[^A-Za-z0-9._-]+", "-", arguments.adapter.resolve().name).strip("-.") or "adopted"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(f"{name!r} is no name for a run", where="--name", fix="letters, digits, dots and dashes")
    base = _base(arguments)
    import torch

    from trainer.adopt.adopt import Adoption, adopt
    from trainer.adopt.foreign_weights import left_behind

    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    run = RunDirectory(arguments.runs / name)
    console = Console()
    manifest = adopt(Adoption(arguments.adapter, base, run, arguments.template, arguments.data, device), console)
    adopted, shape = manifest.adopted, manifest.adapter
    assert adopted is not None
    lines = [
        f"{manifest.method}: rank {shape.rank}, alpha {shape.alpha:g}, on {', '.join(shape.target_modules)}; "
        f"{shape.parameters:,} parameters",
        *(f"rewritten: {what}" for what in adopted.rewritten),
        *_notes(adopted.base_as_named, base.model, left_behind(arguments.adapter)),
        f"adapter: {run.adapter} (proven on {len(manifest.probes)} texts, largest difference of a logit {adopted.distance:.2g})",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    return OK


def _notes(named: str | None, base: str, others: list[str]) -> list[str]:
    notes = []
    if named and named != base:
        notes.append(f"note: the adapter names {named} as its base; nothing in it can prove that {base} is the same")
    if others:
        shown = ", ".join(others[:6]) + (" ..." if len(others) > 6 else "")
        notes.append(f"left behind, never opened: {shown}")
    return notes


def _base(arguments: argparse.Namespace) -> BaseModelConfig:
    """The base, in the type that its own config names where the user names none."""
    dtype = arguments.dtype
    if dtype is None:
        config = read_config(find_base(arguments.base, arguments.revision).directory)
        named: Any = config.get("dtype") or config.get("torch_dtype")
        dtype = named if named in _DTYPES else "float32"
    return BaseModelConfig(model=arguments.base, revision=arguments.revision, dtype=dtype)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer adopt", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="directory with adapter_config.json")
    parser.add_argument("--base", required=True, help="the base it was trained on: a directory or a hub repository")
    parser.add_argument("--revision", help="commit, tag or branch of a base on the hub")
    parser.add_argument("--name", help="of the run (default: the directory's)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="directory of the run directories (%(default)s)"
    )
    parser.add_argument(
        "--template", choices=tuple(TEMPLATES), help="how its prompts were written in training, if known"
    )
    parser.add_argument(
        "--data", type=Path, help="rows like those it was trained on, to record it on (default: questions)"
    )
    parser.add_argument("--dtype", choices=_DTYPES, help="type of the base's weights (default: its own)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto takes a GPU where there is one")
    return parser
