"""Chooses each arm's learning rate from its tuning runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from schemas.errors import UserError
from schemas.studies.study_config import Tuning
from schemas.studies.study_plan import ChosenRate, ChosenRates, PlannedArm, StudyPlan, TuningRun

Trial = tuple[PlannedArm, float, int, float | None]
"""Arm, rate, seed, and the score; None where the run diverged."""


def choose_rates(plan: StudyPlan, trials: Sequence[Trial]) -> ChosenRates:
    """The best rate of each arm on each base; of equally good ones the lowest.

    Raises:
        UserError: every rate of an arm diverged.
    """
    chosen = [_choose(planned, plan, trials) for planned in plan.protocol.arms]
    return ChosenRates(protocol_sha256=plan.protocol_sha256, rates=tuple(chosen))


def edge_note(rates: ChosenRates) -> str | None:
    """What to say of rates at an end of the grid, where the best may lie beyond it; None where there is none."""
    edges = [f"{one.arm} on {one.base} ({one.rate:g})" for one in rates.rates if one.at_edge]
    return f"at an end of the grid, so a wider one could do better: {', '.join(edges)}" if edges else None


def _choose(planned: PlannedArm, plan: StudyPlan, trials: Sequence[Trial]) -> ChosenRate:
    tuning = plan.protocol.study.tuning
    runs = tuple(TuningRun(rate=rate, seed=seed, score=score) for arm, rate, seed, score in trials if arm is planned)
    rate = best_rate(runs, tuning) if runs else tuning.grid[0]
    if rate is None:
        raise UserError(
            f"arm {planned.arm} on base {planned.base} has no learning rate: its loss was not finite at any of the grid",
            where="tuning.grid",
            fix="add lower rates",
        )
    edge = len(tuning.grid) > 2 and rate in (min(tuning.grid), max(tuning.grid))
    return ChosenRate(base=planned.base, arm=planned.arm, rate=rate, runs=runs, at_edge=edge)


def best_rate(runs: Sequence[TuningRun], tuning: Tuning) -> float | None:
    """Lowest mean loss or highest mean accuracy over the tuning seeds; a rate that diverged once is out."""
    means = {}
    for rate in sorted(tuning.grid):
        scores = [run.score for run in runs if run.rate == rate]
        if scores and None not in scores:
            means[rate] = math.fsum(score for score in scores if score is not None) / len(scores)
    if not means:
        return None
    sign = 1 if tuning.criterion == "validation_loss" else -1
    return min(means, key=lambda rate: sign * means[rate])
