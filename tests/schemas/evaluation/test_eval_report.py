"""Scores are counts that add up, and each sample says how it counts."""

import pytest
from pydantic import ValidationError

from schemas.evaluation.eval_report import Interval, Sample, TaskScore

SCORE = {
    "metric": "exact_match", "total": 10, "correct": 6, "wrong": 3, "unparsed": 1, "unscored": 0,
    "score": 0.6, "standard_error": 0.15, "interval": Interval(low=0.3, high=0.8, level=0.95),
}  # fmt: skip
SAMPLE = {
    "task": "boolq", "document": 0, "variant": "adapter", "prompt": "?", "target": "true", "output": "true",
    "parsed": "true", "outcome": "correct",
}  # fmt: skip


def test_counts_that_do_not_add_up_are_no_score():
    assert TaskScore(**SCORE).correct == 6
    with pytest.raises(ValidationError, match="is not total"):
        TaskScore(**SCORE | {"correct": 7})


def test_a_score_outside_of_0_to_1_is_refused():
    with pytest.raises(ValidationError, match="score"):
        TaskScore(**SCORE | {"score": 1.2})


@pytest.mark.parametrize(("outcome", "score"), [("partial", None), ("correct", 0.5)])
def test_a_partial_answer_has_a_score_and_no_other_does(outcome, score):
    with pytest.raises(ValidationError, match="partial answer has a score"):
        Sample(**SAMPLE | {"outcome": outcome, "score": score})


def test_an_item_adds_its_score_to_the_task_s():
    values = [Sample(**SAMPLE | {"outcome": outcome}).value for outcome in ("correct", "wrong", "unparsed", "unscored")]
    assert values == [1.0, 0.0, 0.0, 0.0]
    assert Sample(**SAMPLE | {"outcome": "partial", "score": 0.25}).value == 0.25
