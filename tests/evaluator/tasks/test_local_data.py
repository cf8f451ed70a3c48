"""Local files in place of the hub's data sets: found, laid out as expected, each fault named."""

import csv
import json

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from tests.evaluator.commands.test_score import score


def test_a_subject_with_a_missing_split_is_refused(lora_run, tmp_path):
    (tmp_path / "mmlu" / "test").mkdir(parents=True)
    (tmp_path / "mmlu" / "test" / "anatomy_test.csv").write_text("question,choice0,choice1,choice2,choice3,answer\n")
    with pytest.raises(UserError, match="an MMLU file is missing"):
        score(lora_run, tmp_path, suite="mmlu")


def mmlu(directory, *, header=False, letters=True, encoding="utf-8", bad=None):
    """Writes one subject's files in one of the forms that people have, and loads it."""
    for split in ("dev", "test"):
        (directory / "mmlu" / split).mkdir(parents=True)
        with (directory / "mmlu" / split / f"anatomy_{split}.csv").open("w", newline="", encoding=encoding) as file:
            writer = csv.writer(file)
            if header:
                writer.writerow(["question", "choice0", "choice1", "choice2", "choice3", "answer"])
            for i in range(5):
                writer.writerow([f"q{i},\nasked", "a", "b", "c", "d", "ABCD"[i % 4] if letters else i % 4])
            file.write(f"{bad}\n" if bad else "")
    return load_tasks(SUITES["mmlu"], directory, None).tasks["mmlu_anatomy"]


@pytest.mark.parametrize(
    "form", [{}, {"header": True}, {"header": True, "letters": False}, {"header": True, "encoding": "utf-8-sig"}]
)
def test_mmlu_is_read_as_its_authors_publish_it_and_with_a_header(tmp_path, form):
    items = list(mmlu(tmp_path, **form).eval_docs)
    assert [(item["question"], item["answer"]) for item in items] == [(f"q{i},\nasked", i % 4) for i in range(5)]


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("line", ["q,a,b,c,d,4", "q,a,b,c,d,", "q,a,b,c,1", "q,a,b,c,d,1,more", "q,a,b,c,d,E"])
def test_a_mmlu_row_that_does_not_fit_is_named(tmp_path, line, header):
    with pytest.raises(UserError, match=r"a row") as caught:
        mmlu(tmp_path, header=header, bad=line)
    assert caught.value.where.endswith("anatomy_dev.csv, row 6")


GSM8K = {"question": "When?", "answer": "2023-01-01\n#### 4"}


def splits(directory, *bad):
    (directory / "gsm8k").mkdir()
    for split, rows in (("train", [GSM8K] * 6), ("test", [GSM8K, *bad])):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (directory / "gsm8k" / f"{split}.jsonl").write_text("".join(line + "\n" for line in lines))
    return load_tasks(SUITES["gsm8k"], directory, None).tasks["gsm8k"]


def test_local_splits_keep_dates_as_they_are_written(tmp_path):
    dated = {**GSM8K, "question": "2023-01-01"}
    assert [item["question"] for item in splits(tmp_path, dated).eval_docs] == ["When?", "2023-01-01"]


@pytest.mark.parametrize(
    ("row", "what", "place"),
    [
        ({"answer": "#### 4"}, "has no question", "row 2"),
        ({**GSM8K, "question": None}, "has no question", "row 2"),
        ({**GSM8K, "question": 3}, "question is 3, no str", "row 2"),
        ("{torn", "not JSON", "line 2"),
    ],
)
def test_one_bad_row_of_a_split_names_its_file_and_row(tmp_path, row, what, place):
    with pytest.raises(UserError, match=what) as caught:
        splits(tmp_path, row)
    assert f"test.jsonl, {place}" in caught.value.where


def test_a_stock_task_without_its_scored_split_is_refused(lora_run, tmp_path):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text('{"question": "?", "answer": "#### 1"}\n')
    with pytest.raises(UserError, match="scored on its split 'test'"):
        score(lora_run, tmp_path, suite="gsm8k")
