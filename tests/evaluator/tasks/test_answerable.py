"""Items whose own answer is read as wrong are refused by file and row, instead of counting against every model."""

import json

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError

GOOD = {"question": "How many?", "answer": "Two and two.\n#### 4"}


def gsm8k(directory, rows):
    (directory / "gsm8k").mkdir()
    for split, given in (("train", [GOOD] * 6), ("test", rows)):
        (directory / "gsm8k" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    return load_tasks(SUITES["gsm8k"], directory, None)


def test_answers_that_can_be_given_are_accepted(tmp_path):
    rows = [GOOD, {**GOOD, "answer": "#### 1,000"}, {**GOOD, "answer": "So\n#### -3.5"}]
    assert len(gsm8k(tmp_path, rows).tasks["gsm8k"].eval_docs) == 3


@pytest.mark.parametrize("answer", ["4", "####4", "#### four", "The answer is 4.", ""])
def test_an_item_that_no_answer_fits_is_named(tmp_path, answer):
    with pytest.raises(UserError, match="1 of 3 items of gsm8k cannot be answered right") as caught:
        gsm8k(tmp_path, [GOOD, {**GOOD, "answer": answer}, GOOD])
    assert caught.value.where.endswith("test.jsonl, row 2")


def test_the_published_items_can_all_be_answered(real_data):
    assert len(load_tasks(SUITES["gsm8k"], real_data, None).tasks["gsm8k"].eval_docs) == 1319
