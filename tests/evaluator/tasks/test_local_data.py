"""Local files in place of the hub's data sets: found, laid out as expected, each fault named."""

import pytest

from schemas.errors import UserError
from tests.evaluator.commands.test_score import score


def test_a_subject_with_a_missing_split_is_refused(lora_run, tmp_path):
    (tmp_path / "mmlu" / "test").mkdir(parents=True)
    (tmp_path / "mmlu" / "test" / "anatomy_test.csv").write_text("question,choice0,choice1,choice2,choice3,answer\n")
    with pytest.raises(UserError, match="an MMLU file is missing"):
        score(lora_run, tmp_path, suite="mmlu")


@pytest.mark.parametrize("line", ["q,a,b,c,d,4", "q,a,b,c,d,", "q,a,b,c,1", "q,a,b,c,d,1,more"])
def test_a_mmlu_row_that_does_not_fit_is_named(lora_run, tmp_path, line):
    for split in ("dev", "test"):
        (tmp_path / "mmlu" / split).mkdir(parents=True)
        header = "question,choice0,choice1,choice2,choice3,answer\n"
        (tmp_path / "mmlu" / split / f"anatomy_{split}.csv").write_text(f"{header}q,a,b,c,d,0\n{line}\n")
    with pytest.raises(UserError, match="row 2 does not fit"):
        score(lora_run, tmp_path, suite="mmlu")


def test_a_stock_task_without_its_scored_split_is_refused(lora_run, tmp_path):
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "train.jsonl").write_text('{"question": "?", "answer": "#### 1"}\n')
    with pytest.raises(UserError, match="scored on its split 'test'"):
        score(lora_run, tmp_path, suite="gsm8k")
