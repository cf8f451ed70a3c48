"""The commonsense tasks in LLM-Adapters' record format: reading the files, and the prompt to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.prompt import COMMONSENSE_170K

Record = Mapping[str, str]

# sha256 of LLM-Adapters' test files (commonsense_protocol.md, section 2.2).
_PUBLISHED = {
    "boolq": "89df2397cbca81dc31adcc6f7f5b635821aa0565aafde46725b2b4bd39b4dfa9",
    "piqa": "3860d11b9b42e590b6b4bbc1643214d373ed0b0d4ac62fcc7bdceb8e044ad141",
    "social_i_qa": "71543f41127451945379d106ffedaef502f1c8770dff6d2f543aca85e3080b1d",
    "winogrande": "6946f5209e7114c65c6d04f8f644c5a061af20d730b1cfe158fff3dc44076fb9",
    "ARC-Easy": "3f32a84716ca6d57d38728bf80cc8117aecd17445c2cf29a68b571b810eb82dc",
    "ARC-Challenge": "4a89ce368ae01a71d268d9851686738b2a0a1d84271116bab49a1dd2b48ecad7",
    "openbookqa": "8479930f7b8a26052c78250280b5465a4016ca7fc806af440d0f37e243f3099e",
}


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
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError("no items found for this task", where=path, fix="point --data at LLM-Adapters' files") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"the items are not JSON: {error}", where=path) from None
    if not isinstance(rows, list) or not rows:
        raise UserError("the file holds no list of items", where=path)
    return [_checked(row, labels, f"{path}, item {index}") for index, row in enumerate(rows)]


def _checked(row: Any, labels: re.Pattern[str], where: str) -> Record:
    if not isinstance(row, dict):
        raise UserError("an item is not an object", where=where)
    instruction, answer = row.get("instruction"), row.get("answer")
    if not isinstance(instruction, str) or not instruction.strip():
        raise UserError("an item has no instruction", where=where)
    if not isinstance(answer, str) or not labels.fullmatch(answer):
        raise UserError(f"the item's answer is {answer!r}, expected one of {labels.pattern}", where=where)
    return {"instruction": instruction, "answer": answer}


def unpublished_files(folders: list[Path]) -> list[str]:
    """Names of the task folders whose test.json is not LLM-Adapters' (its HellaSwag file's hash is not known to us)."""
    return [folder.name for folder in folders if sha256_of(folder / "test.json") != _PUBLISHED.get(folder.name)]


def prompt(doc: Record) -> str:
    """The evaluation prompt, ending in sixteen spaces."""
    return COMMONSENSE_170K.evaluation_prompt(doc["instruction"])


def target(doc: Record) -> str:
    """The label."""
    return doc["answer"]
