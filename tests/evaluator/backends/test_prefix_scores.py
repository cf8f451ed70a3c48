"""Choices of a prompt are scored by what the model says after each of their distinct prefixes."""

import math
import os
import subprocess
import sys

import pytest

from evaluator.backends.prefix_scores import inner_nodes, score
from tests.evaluator.conftest import ROOT

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


PROGRAM = """
import sys
from evaluator.backends.vllm_engine import VllmModel
from lm_eval.models.vllm_causallms import VLLM
model = VllmModel(pretrained=sys.argv[1], dtype="float32", batch_size=8, enforce_eager=True, gpu_memory_utilization=0.3)
prompts = [[5, 9, 40], [5, 9, 41, 17, 30, 2, 6], [5 + n % 90 for n in range(700)]]
requests = [((), prompt, rest) for prompt in prompts for rest in ([7], [8], [9, 7], [9, 8])]
ours, theirs = model._loglikelihood_tokens(requests), VLLM._loglikelihood_tokens(model, requests, disable_tqdm=True)
assert max(abs(a[0] - b[0]) for a, b in zip(ours, theirs)) < 1e-4, (ours, theirs)
assert [a[1] for a in ours] == [b[1] for b in theirs]
model.model.llm_engine.engine_core.shutdown()
"""


@pytest.mark.vllm
def test_vllm_gives_what_it_gives_to_a_prompt_per_choice(tiny_base):
    """In a process of its own, since vLLM leaves sockets to its process's end; and without a C++ compiler."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_base)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CXX": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
