"""Learning rates: the best mean over the tuning seeds, without those that diverged."""

from __future__ import annotations

from typing import Any

from schemas.studies.study_plan import ChosenRate, ChosenRates, TuningRun
from studies.run.rates import best_rate, edge_note


def test_the_best_rate_is_that_of_the_mean_and_one_divergence_rules_a_rate_out(make_study: Any) -> None:
    tuning = make_study(tuning={"grid": [0.1, 0.2, 0.4], "seeds": [8, 9]}).tuning
    scores = {(0.1, 8): 1.0, (0.1, 9): 0.6, (0.2, 8): 0.9, (0.2, 9): 0.5, (0.4, 8): 0.1, (0.4, 9): None}
    runs = [TuningRun(rate=rate, seed=seed, score=score) for (rate, seed), score in scores.items()]
    assert best_rate(runs, tuning) == 0.2
    accuracy = tuning.model_copy(update={"criterion": "validation_accuracy"})
    assert best_rate(runs, accuracy) == 0.1


def test_a_rate_at_an_end_of_the_grid_is_named() -> None:
    inside = ChosenRate(base="small", arm="lora", rate=2e-3, runs=(), at_edge=False)
    rates = ChosenRates(protocol_sha256="0" * 64, rates=(inside,))
    assert edge_note(rates) is None
    edge = inside.model_copy(update={"arm": "echo", "rate": 8e-3, "at_edge": True})
    assert edge_note(rates.model_copy(update={"rates": (inside, edge)})) == (
        "at an end of the grid, so a wider one could do better: echo on small (0.008)"
    )


def test_rates_are_looked_up_by_base_and_arm() -> None:
    rates = ChosenRates.model_validate_json(
        '{"protocol_sha256": "'
        + "0" * 64
        + '", "rates": [{"base": "a", "arm": "b", "rate": 0.1, "runs": [], "at_edge": false}]}'
    )
    assert rates.rate_of("a", "b") == 0.1
