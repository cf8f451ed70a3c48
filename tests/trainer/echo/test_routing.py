"""Stochastic routing is a pure function of seed and step."""

from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.training.echo_config import RoutingConfig
from trainer.echo.routing import draw_routes, draws_echo, echo_probability


def test_the_probability_goes_linearly_from_start_to_end() -> None:
    routing = RoutingConfig(start=1.0, end=0.2)
    assert [echo_probability(step, 5, routing) for step in range(5)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert echo_probability(0, 1, routing) == 1.0


def test_the_routes_of_a_run_are_its_steps_draws() -> None:
    routing = RoutingConfig(start=1.0, end=0.2)
    routes = draw_routes(7, 30, routing)
    assert [route.probability for route in routes] == [echo_probability(step, 30, routing) for step in range(30)]
    assert [route.echo_on for route in routes] == [draws_echo(7, step, routes[step].probability) for step in range(30)]


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.7, 1.0])
def test_draws_come_true_as_often_as_their_probability_says(probability: float) -> None:
    share = sum(draws_echo(3, step, probability) for step in range(4000)) / 4000
    assert share == pytest.approx(probability, abs=0.03)  # four standard errors


def test_seeds_draw_differently() -> None:
    draws = [[draws_echo(seed, step, 0.5) for step in range(64)] for seed in (0, 1)]
    assert draws[0] != draws[1]


def test_another_process_starting_in_the_middle_draws_the_same() -> None:
    program = "from trainer.echo.routing import draws_echo; print([draws_echo(7, k, 0.5) for k in range(100, 140)])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str([draws_echo(7, step, 0.5) for step in range(140)][100:])
