"""Local files in place of the hub's data sets: finds them, and says what each task must override to read them.

Layouts under the data directory: `<task>/test.json` (LLM-Adapters' records), `<task>/<split>.jsonl|json|parquet` (rows
as the hub's data set has them), `mmlu/{dev,test}/<subject>_{dev,test}.csv`, `humaneval/HumanEval.jsonl.gz`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.suites import Suite
from evaluator.tasks.yaml_files import TaskConfig
from schemas.errors import UserError

Overrides = Mapping[str, Any]
_SUFFIXES = (".jsonl", ".json", ".parquet")
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_MMLU_COLUMNS = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]


def local_overrides(suite: Suite, configs: Mapping[str, TaskConfig], data: Path) -> dict[str, Overrides]:
    """For each task that has files in the data directory, the YAML keys that make lm-eval read them.

    Raises:
        UserError: the directory does not exist, holds no task of the suite, or lacks a split that is scored.
    """
    if not data.is_dir():
        raise UserError("the data directory does not exist", where=data, fix="point --data at the task folders")
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
    files = {path.stem: str(path) for path in sorted((data / name).glob("*")) if path.suffix in _SUFFIXES}
    if not files:
        return None
    scored = config.get("test_split") or config.get("validation_split")
    if scored not in files:
        raise UserError(f"task {name} is scored on its split {scored!r}, which is missing", where=data / name)
    builder = "parquet" if files[scored].endswith(".parquet") else "json"
    overrides: dict[str, Any] = {"dataset_path": builder, "dataset_name": None, "dataset_kwargs": {"data_files": files}}
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
            return {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}}
    return None


_OVERRIDES = {"records": _records, "splits": _splits, "mmlu": _mmlu, "humaneval": _humaneval}
_EXPECTED = {
    "records": "expected <task>/test.json, such as boolq/test.json; see LLM-Adapters' folder `dataset`",
    "splits": "expected <task>/<split>.jsonl, .json or .parquet, such as gsm8k/test.jsonl",
    "mmlu": "expected mmlu/{dev,test}/<subject>_{dev,test}.csv",
    "humaneval": "expected humaneval/HumanEval.jsonl.gz",
}


def load_mmlu(*, directory: str, subject: str, **_: object) -> Any:
    """One MMLU subject from CSV files, in the form of the hub's data set (lm-eval's `custom_dataset`).

    Raises:
        UserError: a file is missing or a row does not fit.
    """
    from datasets import Dataset, DatasetDict

    splits = {split: _read_mmlu(Path(directory) / split / f"{subject}_{split}.csv") for split in ("dev", "test")}
    return DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})


def _read_mmlu(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UserError("an MMLU file is missing", where=path, fix=_EXPECTED["mmlu"])
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != _MMLU_COLUMNS:
            raise UserError(f"the columns are {reader.fieldnames}, expected {_MMLU_COLUMNS}", where=path)
        rows = list(reader)
    for number, row in enumerate(rows, start=1):
        if row["answer"] not in ("0", "1", "2", "3") or None in row or None in row.values():
            raise UserError(f"row {number} does not fit the columns", where=path)
    return [
        {"question": row["question"], "choices": [row[f"choice{i}"] for i in range(4)], "answer": int(row["answer"])}
        for row in rows
    ]
