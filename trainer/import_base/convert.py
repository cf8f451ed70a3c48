"""A GGUF file as a model directory: safetensors, tokenizer, chat template and generation config, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console

from schemas.document import sync_directory
from schemas.errors import UserError
from trainer.import_base.gguf_layout import GgufLayout, require_whole_llama

Dtype = Literal["float32", "bfloat16"]
_BYTES = {"float32": 4, "bfloat16": 2}
_SPARE = 64 * 2**20  # bytes for the tokenizer and the rest


def convert(file: Path, directory: Path, dtype: Dtype, console: Console) -> GgufLayout:
    """Writes the model directory of a GGUF file.

    Raises:
        UserError: the file is no whole Llama, or there is no room for its weights.
    """
    with console.status(f"Reading {file.name}"):
        layout = require_whole_llama(file)
    _require_room(layout, dtype, directory)
    with written_whole(directory) as staged:
        _write(file, staged, dtype)
    return layout


@contextmanager
def written_whole(directory: Path) -> Iterator[Path]:
    """A directory to fill beside the one that is wanted, whose name it takes once it is filled and on the disk."""
    staged = directory.with_name(f".{directory.name}.importing")
    shutil.rmtree(staged, ignore_errors=True)  # of an import that was stopped; nobody else writes that name
    staged.mkdir(parents=True)
    try:
        yield staged
        for written in staged.iterdir():
            written.chmod(0o644)  # safetensors writes for its owner alone, and containers read as another user
            with written.open("rb") as handle:
                os.fsync(handle.fileno())
        os.replace(staged, directory)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_directory(directory.parent)


def _write(file: Path, directory: Path, dtype: Dtype) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # transformers shows a bar of its own while it dequantises.
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=getattr(torch, dtype))
    # The weights are dequantised; what says otherwise would make saving, and then loading, refuse.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.config._name_or_path = ""
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(directory)


def _require_room(layout: GgufLayout, dtype: Dtype, directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    needed = layout.parameters * _BYTES[dtype] + _SPARE
    free = shutil.disk_usage(directory.parent).free
    if free < needed:
        raise UserError(
            f"the base takes {needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free",
            where=directory.parent,
            fix="free some space, or import to another disk",
        )
