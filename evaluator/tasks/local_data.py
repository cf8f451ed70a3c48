"""Local files in place of the hub's data sets: finds them, and says what each task must override to read them.

Layouts under the data directory: `<task>/test.json` (LLM-Adapters' records), `<task>/<split>.jsonl|json|parquet` (rows
as the hub's data set has them), `mmlu/{dev,test}/<subject>_{dev,test}.csv` (as its authors publish it, or with a header),
`humaneval/HumanEval.jsonl.gz`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluator.tasks.suites import Suite
from evaluator.tasks.yaml_files import TaskConfig
from schemas.errors import UserError
from schemas.storage.json_rows import SUFFIXES, read_rows

Overrides = Mapping[str, Any]
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_MMLU_ANSWERS = {"A": 0, "B": 1, "C": 2, "D": 3, "0": 0, "1": 1, "2": 2, "3": 3}
_MMLU_COLUMNS = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]


def local_overrides(suite: Suite, configs: Mapping[str, TaskConfig], data: Path) -> dict[str, Overrides]:
    """For each task that has files in the data directory, the YAML keys that make lm-eval read them.

    Raises:
        UserError: the directory does not exist, holds no task of the suite, or lacks a split that is scored.
    """
    if not data.is_dir():
        raise UserError("the data directory does not exist", where=data, fix="point --data at the task folders")
    assert suite.layout is not None, "a suite of one's own reads its files itself"
    found = {name: _OVERRIDES[suite.layout](name, config, data) for name, config in configs.items()}
    present = {name: overrides for name, overrides in found.items() if overrides is not None}
    if not present:
        raise UserError(
            f"the data directory holds no task of suite {suite.name}", where=data, fix=_EXPECTED[suite.layout]
        )
    return present


def _records(name: str, config: TaskConfig, data: Path) -> Overrides | None:
    folder = config["dataset_kwargs"]["folder"]
    for directory in (data, data / "llm_adapters"):
        if (directory / folder / "test.json").is_file():
            return {"dataset_kwargs": {**config["dataset_kwargs"], "data": str(directory)}}
    return None


def _splits(name: str, config: TaskConfig, data: Path) -> Overrides | None:
    files = {path.stem: str(path) for path in sorted((data / name).glob("*")) if path.suffix in SUFFIXES}
    if not files:
        return None
    scored = config.get("test_split") or config.get("validation_split")
    if scored not in files:
        raise UserError(f"task {name} is scored on its split {scored!r}, which is missing", where=data / name)
    named = {config.get(key) for key in _SPLITS}
    used = {split: file for split, file in files.items() if split in named}
    overrides: dict[str, Any] = {"custom_dataset": load_splits, "dataset_name": None, "dataset_kwargs": {"files": used}}
    # lm-eval opens the few-shot split even where no shot is taken; one that is missing must not be named.
    missing = [key for key in _SPLITS if config.get(key) not in (None, *files)]
    if missing and config.get("num_fewshot"):
        raise UserError(
            f"task {name} takes its shots from a split that is missing: {config[missing[0]]}", where=data / name
        )
    return overrides | dict.fromkeys(missing)


def _mmlu(name: str, config: TaskConfig, data: Path) -> Overrides | None:
    directory = data / "mmlu" if (data / "mmlu").is_dir() else data
    if not (directory / "test" / f"{config['dataset_name']}_test.csv").is_file():
        return None
    keywords = {"directory": str(directory), "subject": config["dataset_name"]}
    return {"custom_dataset": load_mmlu, "dataset_kwargs": keywords}


def _humaneval(name: str, config: TaskConfig, data: Path) -> Overrides | None:
    for path in (data / "humaneval" / "HumanEval.jsonl.gz", data / "HumanEval.jsonl.gz"):
        if path.is_file():
            return {"custom_dataset": load_splits, "dataset_kwargs": {"files": {"test": str(path)}}}
    return None


_OVERRIDES = {"records": _records, "splits": _splits, "mmlu": _mmlu, "humaneval": _humaneval}
_EXPECTED = {
    "records": "expected <task>/test.json, such as boolq/test.json; see LLM-Adapters' folder `dataset`",
    "splits": "expected <task>/<split>.jsonl, .json or .parquet, such as gsm8k/test.jsonl",
    "mmlu": "expected mmlu/{dev,test}/<subject>_{dev,test}.csv",
    "humaneval": "expected humaneval/HumanEval.jsonl.gz",
}


def load_splits(*, files: Mapping[str, str], **_: object) -> Any:
    """A task's splits from JSON, JSON Lines or Parquet files, value for value (lm-eval's `custom_dataset`).

    Raises:
        UserError: a file or a row cannot be read, or a row is unlike the others.
    """
    from datasets import Dataset, DatasetDict

    return DatasetDict({split: Dataset.from_list(_alike(Path(file))) for split, file in files.items()})


def _alike(path: Path) -> list[dict[str, Any]]:
    """Rows that all have the first one's keys, with values of its types."""
    rows = read_rows(path)
    if not rows:
        raise UserError("the file holds no rows", where=path)
    types = {key: type(value) for key, value in rows[0].items() if value is not None}
    for number, row in enumerate(rows, start=1):
        for key, kind in types.items():
            if row.get(key) is None:
                raise UserError(f"a row has no {key}, which the first row has", where=f"{path}, row {number}")
            if type(row[key]) is not kind and {type(row[key]), kind} != {int, float}:
                raise UserError(
                    f"a row's {key} is {row[key]!r:.40}, no {kind.__name__} as in the first row",
                    where=f"{path}, row {number}",
                )
    return rows


def load_mmlu(*, directory: str, subject: str, **_: object) -> Any:
    """One MMLU subject from CSV files, in the form of the hub's data set (lm-eval's `custom_dataset`).

    Raises:
        UserError: a file is missing or a row does not fit.
    """
    from datasets import Dataset, DatasetDict

    splits = {split: _read_mmlu(Path(directory) / split / f"{subject}_{split}.csv") for split in ("dev", "test")}
    return DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})


def _read_mmlu(path: Path) -> list[dict[str, Any]]:
    """Rows of one file, with a header and answers 0 to 3 or, as published, without one and with letters."""
    if not path.is_file():
        raise UserError("an MMLU file is missing", where=path, fix=_EXPECTED["mmlu"])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the file is no CSV: {error}", where=path) from None
    rows = lines[1:] if lines[:1] == [_MMLU_COLUMNS] else lines
    return [_mmlu_row(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _mmlu_row(row: Sequence[str], where: str) -> dict[str, Any]:
    if len(row) != len(_MMLU_COLUMNS):
        raise UserError(f"a row has {len(row)} columns, expected a question, four choices and the answer", where=where)
    question, *choices, answer = row
    if answer not in _MMLU_ANSWERS:
        raise UserError(f"a row's answer is {answer!r}, expected A to D or 0 to 3", where=where)
    return {"question": question, "choices": choices, "answer": _MMLU_ANSWERS[answer]}
