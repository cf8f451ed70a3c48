"""Reads training records from JSON, JSONL, Parquet, a URL or a hub dataset, through the `datasets` library."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from schemas.errors import UserError
from schemas.hub import go_offline_if_unreachable
from schemas.training.train_config import DataConfig, DataSource

Row = Mapping[str, Any]
_READERS = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class LoadedSource:
    """The rows of one source.

    Attributes:
        path: as written in the config.
        rows: in the source's order.
        sha256: hash over the rows' canonical JSON, in order; keys without a value do not count.
    """

    path: str
    rows: list[Row]
    sha256: str


def load_sources(data: DataConfig) -> list[LoadedSource]:
    """Reads every source of the config.

    Raises:
        UserError: a source is missing, empty, unreadable or cannot be reached.
    """
    return [_load(source) for source in data.train]


def _load(source: DataSource) -> LoadedSource:
    datasets.disable_progress_bars()
    try:
        rows = list(itertools.islice(_rows(source), source.limit))
    except UserError:
        raise
    except Exception as error:  # datasets raises its own, pyarrow's, fsspec's and hub errors
        reason = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the training data cannot be read: {reason}",
            where=f"data.train: {source.path}",
            fix="a source is a .json, .jsonl or .parquet file, a URL of one, or a hub dataset",
        ) from None
    if not rows:
        raise UserError("the training data are empty", where=f"data.train: {source.path}")
    return LoadedSource(source.path, rows, rows_sha256(rows))


def _rows(source: DataSource) -> Iterable[Row]:
    reader = _READERS.get(Path(source.path.partition("?")[0]).suffix.lower())
    if source.path.startswith(("http://", "https://")):
        loaded: Iterable[Row] = datasets.load_dataset(reader or "json", data_files=source.path, split="train")
        return loaded
    path = Path(source.path).expanduser()
    if reader is None and not path.exists() and source.path.count("/") <= 1:
        go_offline_if_unreachable()
        loaded = datasets.load_dataset(source.path, source.subset, split=source.split, revision=source.revision)
        return loaded
    if not path.is_file():
        raise UserError(
            "the training data do not exist", where=f"data.train: {source.path}", fix="check the path in the config"
        )
    if path.stat().st_size == 0:
        raise UserError("the training data are empty", where=f"data.train: {source.path}")
    if reader is None:
        raise UserError(
            f"training data cannot be read from a {path.suffix or 'nameless'} file",
            where=f"data.train: {source.path}",
            fix="convert it to .json, .jsonl or .parquet",
        )
    # Streaming reads the file itself: no second copy on the disk, and no stale one when the file changes.
    loaded = datasets.load_dataset(reader, data_files=str(path), split="train", streaming=True)
    return loaded


def rows_sha256(rows: Iterable[Row]) -> str:
    """Hash over the rows' canonical JSON, one line each; keys without a value do not count."""
    digest = hashlib.sha256()
    for row in rows:
        present = {key: value for key, value in row.items() if value is not None}
        text = json.dumps(present, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()
