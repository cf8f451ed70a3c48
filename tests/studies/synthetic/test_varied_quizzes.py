"""Quizzes in many wordings: every answer is one of the marks offered, and no mark or verdict is a task's."""

import random

import pytest

from studies.synthetic.tasks import TASKS
from studies.synthetic.varied_quizzes import MARKS, VERDICTS, rephrased_task, varied_claim, varied_pick
from studies.synthetic.world import make_world

WORLD = make_world()


@pytest.mark.parametrize("make", [varied_pick, varied_claim, rephrased_task])
def test_the_answer_is_among_what_is_offered(make):
    rng = random.Random(0)
    offered = {f"{mark}{number}" for mark in MARKS for number in range(1, 9)} | {v for pair in VERDICTS for v in pair}
    for _ in range(200):
        answers = [passage.answer.strip(" .\n") for passage in make(rng, WORLD) if passage.answer]
        assert answers
        assert all(answer.split()[-1] in offered for answer in answers)


def test_no_mark_and_no_verdict_is_a_task_s():
    labels = {label for names, _ in TASKS.values() for label in names}
    assert not labels & {f"{mark}{number}" for mark in MARKS for number in range(1, 6)}
    assert not labels & {verdict for pair in VERDICTS for verdict in pair}


def test_the_same_seed_draws_the_same_quizzes():
    drawn = [[varied_pick(random.Random(7), WORLD) for _ in range(5)] for _ in range(2)]
    assert drawn[0] == drawn[1]
