"""How an answer counts: by the papers' own metrics, held against their libraries and worked examples."""

import math

import pytest

from evaluator.scoring.counting import (
    choice_probability,
    chrf,
    json_equal,
    json_fields,
    metric_name,
    rouge_l,
    scorer_of,
    token_f1,
)
from schemas.evaluation.suite_file import AnyOf, ExactMatch, NumberAnswer, TextOverlap, WholeAnswer

WHOLE = WholeAnswer()


def test_exact_match_is_exact_unless_case_may_differ():
    assert scorer_of(WHOLE, ExactMatch())("Paris", ["Paris"]) == 1.0
    assert scorer_of(WHOLE, ExactMatch())("paris", ["Paris"]) == 0.0
    assert scorer_of(WHOLE, ExactMatch(ignore_case=True))("STRASSE", ["straße"]) == 1.0


def test_any_accepted_answer_counts_and_the_best_overlap_does():
    accepted = ["Paris", "paname"]
    assert scorer_of(WHOLE, AnyOf(kind="any_of", accepted="also"))("paname", accepted) == 1.0
    assert scorer_of(WHOLE, TextOverlap(kind="f1"))("the paname", accepted) == 1.0


@pytest.mark.parametrize(
    ("given", "right", "tolerance", "relative", "score"),
    [
        ("0.3", "0.1", 0.2, 0, 1),
        ("0.31", "0.1", 0.2, 0, 0),
        ("103", "100", 0, 0.03, 1),
        ("104", "100", 0, 0.03, 0),
        ("1,000", "1000", 0, 0, 1),
    ],
)
def test_a_number_may_be_off_by_its_tolerance(given, right, tolerance, relative, score):
    answer = NumberAnswer(kind="number", tolerance=tolerance, relative=relative)
    assert scorer_of(answer, ExactMatch())(given, [right]) == score
    assert metric_name(answer, ExactMatch()) == "number"


def test_f1_counts_words_as_squad_does():
    assert token_f1("The cat sat.", "a cat sat down") == pytest.approx(2 * 2 / (2 + 3))
    assert token_f1("dog", "cat") == 0.0
    assert token_f1("the", "a") == 1.0  # nothing is left of either


def test_rouge_l_and_chrf_are_those_of_their_libraries():
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_chrf

    given, right = "the cat sat down", "the cat sat on the mat"
    assert rouge_l(given, right) == RougeScorer(["rougeL"]).score(right, given)["rougeL"].fmeasure
    assert chrf(given, right) == pytest.approx(sentence_chrf(given, [right]).score / 100)
    assert rouge_l(right, right) == chrf(right, right) == 1.0


@pytest.mark.parametrize(
    ("given", "right", "score"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', 1),
        ('{"a": true}', '{"a": 1}', 0),
        ("[1, 2]", "[2, 1]", 0),
        ("{", "{}", 0),
        ("1.0", "1", 1),
    ],
)
def test_json_is_equal_whatever_its_spacing_and_order_of_keys(given, right, score):
    assert json_equal(given, right) == score


@pytest.mark.parametrize(
    ("given", "right", "score"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', 1),
        ('{"a": 1, "b": 3}', '{"a": 1, "b": 2}', 0.5),
        ('{"a": 1}', '{"a": 1, "b": 2, "c": 3}', 0.5),  # one of one, one of three
        ('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 3]}}', 0.5),
        ('{"a": true}', '{"a": 1}', 0),
        ("no JSON", '{"a": 1}', 0),
        ("{}", "{}", 1),
    ],
)
def test_json_s_fields_count_by_their_f1(given, right, score):
    assert json_fields(given, right) == score


def test_a_choice_counts_as_its_probability_among_the_options():
    assert choice_probability([-1.0, -1.0], 0) == 0.5
    assert choice_probability([-1000.0, -1000.0 - math.log(3)], 0) == pytest.approx(0.75)  # far below what exp can hold
    assert sum(choice_probability([-1.0, -2.5, -4.0], right) for right in range(3)) == pytest.approx(1)
