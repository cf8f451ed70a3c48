"""The commonsense tasks in LLM-Adapters' record format: reading the files, and the prompt to the byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.prompt import COMMONSENSE_170K
from schemas.storage.json_rows import read_rows

Record = Mapping[str, str]


def load(*, data: str, folder: str, pattern: str, **_: object) -> Any:
    """The task's items as a `datasets.DatasetDict` with one split, `test`.

    lm-eval calls it (`custom_dataset`) with the task's `metadata` and `dataset_kwargs`.

    Args:
        data: directory of the task folders, from the TaskManager's metadata.
        folder: the task's folder, holding test.json.
        pattern: the task's labels, alternatives of a regular expression.

    Raises:
        UserError: the file is missing or holds a row that does not fit.
    """
    from datasets import Dataset, DatasetDict

    rows = read_records(Path(data) / folder / "test.json", re.compile(pattern))
    return DatasetDict({"test": Dataset.from_list([dict(row) for row in rows])})


def read_records(path: Path, labels: re.Pattern[str]) -> list[Record]:
    """Reads and checks the items of one file: only `instruction` and `answer` are kept.

    Raises:
        UserError: the file is missing, empty, no JSON list, or a row lacks an instruction or one of the task's labels.
    """
    if not path.is_file():
        raise UserError("no items found for this task", where=path, fix="point --data at LLM-Adapters' files")
    rows = read_rows(path)
    if not rows:
        raise UserError("the file holds no list of items", where=path)
    return [_checked(row, labels, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _checked(row: Mapping[str, Any], labels: re.Pattern[str], where: str) -> Record:
    instruction, answer = row.get("instruction"), row.get("answer")
    if not isinstance(instruction, str) or not instruction.strip():
        raise UserError("an item has no instruction", where=where)
    if not isinstance(answer, str) or not labels.fullmatch(answer):
        raise UserError(f"the item's answer is {answer!r}, expected one of {labels.pattern}", where=where)
    return {"instruction": instruction, "answer": answer}


def unpublished_files(folders: list[Path], published: Mapping[str, str]) -> list[str]:
    """Names of the task folders whose test.json has another hash than the published one, or none to hold it against."""
    return [folder.name for folder in folders if sha256_of(folder / "test.json") != published.get(folder.name)]


def prompt(doc: Record) -> str:
    """The evaluation prompt, ending in sixteen spaces."""
    return COMMONSENSE_170K.evaluation_prompt(doc["instruction"])


def target(doc: Record) -> str:
    """The label."""
    return doc["answer"]
