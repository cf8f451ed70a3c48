"""What the judge is asked, and what its words count."""

from __future__ import annotations

import pytest

from evaluator.judge.words import questions, score, total
from schemas.evaluation.suite_file import Judged
from tests.evaluator.judge_server import part

GRADES = Judged(kind="judge", rubric="Be strict.")
PAIRS = Judged(kind="judge", rubric="Be strict.", pairs=True)


def test_a_graded_answer_stands_after_rubric_question_and_reference() -> None:
    (asked,) = questions(GRADES, "Be strict.", "Two and two?", "four", "five")
    assert asked.startswith("Be strict.\n\n[Begin of Question]\nTwo and two?\n")
    assert (part("Reference answer", asked), part("Answer", asked)) == ("four", "five")
    assert "from 1 (worst) to 5 (best)" in asked


def test_without_a_target_there_is_no_reference() -> None:
    assert "Reference" not in questions(GRADES, "Be strict.", "Two and two?", "", "five")[0]


def test_a_pair_is_asked_in_both_orders() -> None:
    orders = [
        (part("Answer A", asked), part("Answer B", asked)) for asked in questions(PAIRS, "r", "q", "four", "five")
    ]
    assert orders == [("five", "four"), ("four", "five")]


@pytest.mark.parametrize(
    ("said", "counts", "worth"),
    [
        ("Good. [[5]]", GRADES, 1.0),
        ("[[1]]", GRADES, 0.0),
        ("Not [[5]], rather [[ 3.0 ]]", GRADES, 0.5),
        ("[[6]]", GRADES, None),
        ("[[A]]", GRADES, None),
        ("5", GRADES, None),
        ("", GRADES, None),
        ("[[A]]", PAIRS, 1.0),
        ("[[B]]", PAIRS, 0.0),
        ("[[C]]", PAIRS, 0.5),
        ("[[3]]", PAIRS, None),
    ],
)
def test_the_last_verdict_in_double_brackets_counts(said: str, counts: Judged, worth: float | None) -> None:
    assert score(counts, said) == worth


def test_a_judge_that_always_takes_the_first_place_says_nothing_about_a_pair() -> None:
    assert total([1.0, 1.0]) == total([0.0, 0.0]) == 0.5
    assert (total([1.0, 0.0]), total([0.0, 1.0]), total([1.0, 0.5])) == (1.0, 0.0, 0.75)
