"""Stochastic routing: whether an optimizer step runs the echo path (paper; `r_k ~ Bernoulli(p_k)`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.training.echo_config import RoutingConfig


class Route(NamedTuple):
    """Where the method sends one optimizer step."""

    probability: float
    """p_k."""
    echo_on: bool
    """r_k: whether the step runs the echo path."""


def draw_routes(seed: int, total_steps: int, routing: RoutingConfig) -> list[Route]:
    """The route of every optimizer step of a run, known before its first."""
    probabilities = (echo_probability(step, total_steps, routing) for step in range(total_steps))
    return [Route(probability, draws_echo(seed, step, probability)) for step, probability in enumerate(probabilities)]


def echo_probability(step: int, total_steps: int, routing: RoutingConfig) -> float:
    """p_k = p_start + k / (K - 1) (p_end - p_start).

    Args:
        step: k, the optimizer step, counted from 0.
        total_steps: K, the optimizer steps of the whole run; with a single step p is `routing.start`.
        routing: p_start and p_end.
    """
    progress = min(step / (total_steps - 1), 1.0) if total_steps > 1 else 0.0
    return routing.start + progress * (routing.end - routing.start)


def draws_echo(seed: int, step: int, probability: float) -> bool:
    """r_k: a draw that depends on the seed and the step alone, so every rank and every resumed run sees the same.

    Philox is counter-based: (seed, step) is its 128-bit key, and no generator state is carried from step to step.
    """
    draw = np.random.Generator(np.random.Philox(key=np.array([seed, step], dtype=np.uint64))).random()
    return bool(draw < probability)
