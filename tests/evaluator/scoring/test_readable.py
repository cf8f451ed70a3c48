"""The first label ends an answer, where the task says that it is all that counts."""

import pytest

from evaluator.scoring.readable import labels_of, until_first_label
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES


def labels(suite, data):
    return {name: labels_of(task) for name, task in load_tasks(SUITES[suite], data, None).tasks.items()}


def test_greedy_label_tasks_have_them_beams_do_not(small_data):
    assert set(labels("commonsense_170k", small_data).values()) == {("true", "false"), ("solution1", "solution2")}
    assert set(labels("commonsense_170k_beam4", small_data).values()) == {()}


@pytest.mark.parametrize("suite", ["gsm8k", "mmlu", "humaneval"])
def test_where_more_text_may_count_there_are_none(suite, real_data):
    assert set(labels(suite, real_data).values()) == {()}


def test_texts_end_with_the_first_of_them():
    assert until_first_label("it is false, not true", ("true", "false")) == "it is false"
    assert until_first_label("I cannot say", ("true", "false")) == "I cannot say"
    assert until_first_label("it is false", ()) == "it is false"
