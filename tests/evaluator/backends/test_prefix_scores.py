"""Choices of a prompt are scored by what the model says after each of their distinct prefixes."""

import math

import pytest

from evaluator.backends.prefix_scores import inner_nodes, score

LETTERS = [(None, [7, 8, 9], [token]) for token in (1, 2, 3, 4)]


def test_letters_need_one_request_per_prompt():
    assert inner_nodes(LETTERS) == {(7, 8, 9): [1, 2, 3, 4]}


def test_a_continuation_is_the_product_of_its_tokens():
    requests = [(None, [7], [5, 1]), (None, [7], [5, 2]), (None, [7], [3])]
    assert inner_nodes(requests) == {(7,): [5, 3], (7, 5): [1, 2]}
    predictions = {(7,): (5, {5: math.log(0.6), 3: math.log(0.4)}), (7, 5): (2, {1: math.log(0.1), 2: math.log(0.9)})}
    (first, first_greedy), (second, second_greedy), (third, third_greedy) = score(requests, predictions)
    assert [math.exp(value) for value in (first, second, third)] == pytest.approx([0.06, 0.54, 0.4])
    assert (first_greedy, second_greedy, third_greedy) == (False, True, False)
