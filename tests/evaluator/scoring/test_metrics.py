"""Counts, intervals and averages, against figures worked out elsewhere."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from evaluator.scoring.metrics import macro_average, majority_floor, score_task, wilson_interval
from schemas.evaluation.eval_report import Sample, TaskRecord


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_newcombes(correct, total, low, high):
    interval = wilson_interval(correct, total)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def samples(outcomes, target="true"):
    return [
        Sample(task="t", document=i, variant="base", prompt="?", target=target, output="", parsed=None, outcome=outcome)
        for i, outcome in enumerate(outcomes)
    ]


def test_unparsed_answers_are_counted_apart_and_are_not_right():
    score = score_task("accuracy", samples(["correct", "wrong", "unparsed", "unparsed"]), {"acc_norm": 0.5})
    assert (score.correct, score.wrong, score.unparsed, score.unscored, score.score) == (1, 1, 2, 0, 0.25)
    assert score.standard_error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)
    assert score.secondary == {"acc_norm": 0.5}


def test_the_macro_average_weighs_tasks_not_items():
    def record(outcomes):
        variant = score_task("accuracy", samples(outcomes), {})
        hashes = dict.fromkeys(("documents_sha256", "prompts_sha256", "generation_sha256"), "0" * 64)
        return TaskRecord(version="1", floor=None, variants={"base": variant}, **hashes)

    tasks = {"small": record(["correct"]), "large": record(["wrong"] * 9)}
    assert macro_average(tasks, "base") == 0.5


def test_the_floor_is_the_most_frequent_labels_share():
    assert majority_floor(samples(["wrong"] * 3, "a") + samples(["wrong"], "b")) == 0.75


@pytest.mark.parametrize(("correct", "total"), [(0, 20), (13, 20), (20, 20), (2034, 3270)])
def test_wilson_is_that_of_statsmodels(correct, total):
    interval = wilson_interval(correct, total, 0.95)
    assert (interval.low, interval.high) == pytest.approx(
        proportion_confint(correct, total, method="wilson"), abs=1e-12
    )


def graded(*scores):
    return [
        Sample(
            task="t", document=i, variant="base", prompt="?", target="x", output="x", parsed="x",
            outcome="partial" if 0 < score < 1 else "correct" if score else "wrong", score=score if 0 < score < 1 else None,
        )
        for i, score in enumerate(scores)
    ]  # fmt: skip


def test_scores_between_0_and_1_are_averaged_with_an_interval_of_their_own():
    values = [0.25, 0.75, 1, 0, 0.5] * 40
    score = score_task("f1", graded(*values), {})
    assert (score.correct, score.partial, score.wrong, score.score) == (40, 120, 40, 0.5)
    assert score.standard_error == pytest.approx(np.std(values) / len(values) ** 0.5)
    reach = stats.norm.ppf(0.975) * score.standard_error
    assert (score.interval.low, score.interval.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.008)
    assert score.interval.high - score.interval.low < wilson_interval(100, 200).high - wilson_interval(100, 200).low
