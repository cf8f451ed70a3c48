"""Reads training records from JSON, JSONL, Parquet, a URL or a hub dataset."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from schemas.base.hub import go_offline_if_unreachable
from schemas.errors import UserError
from schemas.storage.json_rows import SUFFIXES, read_rows
from schemas.training.train_config import DataConfig, DataSource

Row = Mapping[str, Any]


@dataclass(frozen=True)
class LoadedSource:
    """The rows of one source."""

    path: str
    """As written in the config."""
    rows: list[Row]
    """In the source's order."""
    sha256: str
    """Hash over the rows' canonical JSON, in order; keys without a value do not count."""


def load_sources(data: DataConfig) -> list[LoadedSource]:
    """Reads every source of the config.

    Raises:
        UserError: a source is missing, empty, cannot be read or cannot be reached.
    """
    return [_load(source) for source in data.train]


def _load(source: DataSource) -> LoadedSource:
    datasets.disable_progress_bars()
    try:
        rows = _rows(source)
    except UserError:
        raise
    except Exception as error:  # datasets raises its own, fsspec's and hub errors
        reason = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the training data cannot be read: {reason}",
            where=f"data.train: {source.path}",
            fix="a source is a .json, .jsonl or .parquet file, a URL of one, or a hub dataset",
        ) from None
    if not rows:
        raise UserError("the training data are empty", where=f"data.train: {source.path}")
    return LoadedSource(source.path, rows, rows_sha256(rows))


def _rows(source: DataSource) -> list[Row]:
    suffix = Path(source.path.partition("?")[0]).suffix.lower()
    if source.path.startswith(("http://", "https://")):
        arrived = Path(datasets.DownloadManager().download(source.path))
        return [*read_rows(arrived, suffix if suffix in SUFFIXES else ".json", source.limit)]
    path = Path(source.path).expanduser()
    if suffix not in SUFFIXES and not path.exists() and source.path.count("/") <= 1:
        go_offline_if_unreachable()
        loaded = datasets.load_dataset(source.path, source.subset, split=source.split, revision=source.revision)
        return list(itertools.islice(loaded, source.limit))
    _require_data(path, suffix, source)
    return [*read_rows(path, suffix, source.limit)]


def _require_data(path: Path, suffix: str, source: DataSource) -> None:
    where = f"data.train: {source.path}"
    if not path.is_file():
        raise UserError("the training data do not exist", where=where, fix="check the path in the config")
    if path.stat().st_size == 0:
        raise UserError("the training data are empty", where=where)
    if suffix not in SUFFIXES:
        raise UserError(
            f"training data cannot be read from a {suffix or 'nameless'} file",
            where=where,
            fix="convert it to .json, .jsonl or .parquet",
        )


def rows_sha256(rows: Iterable[Row]) -> str:
    """Hash over the rows' canonical JSON, one line each; keys without a value do not count, at any depth."""
    digest = hashlib.sha256()
    for row in rows:
        text = json.dumps(_present(row), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _present(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value
