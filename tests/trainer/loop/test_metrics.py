"""A step's report grows the state, and an interval's line is the mean over its tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.base.base_model import BaseIdentity
from trainer.checkpoint.state import Interval, RunIdentity, TrainingState
from trainer.loop.metrics import after_step, begin_interval, interval_metrics
from trainer.loop.step import StepReport

HASH = "0" * 64
START = TrainingState(
    identity=RunIdentity(
        config={}, data_sha256=(), base=BaseIdentity.model_construct(config_sha256=HASH, weights_sha256=HASH)
    )
)
FIRST = StepReport(
    step=0,
    echo_on=True,
    echo_probability=0.8,
    loss=12.0,
    echo_loss=9.0,
    distillation_loss=3.0,
    tokens=50,
    supervised_tokens=6,
    learning_rate=1e-3,
    gradient_norm=0.5,
    seconds=2.0,
)
SECOND = replace(FIRST, step=1, echo_on=False, loss=4.0, echo_loss=0.0, distillation_loss=0.0, supervised_tokens=2)


def test_a_line_is_the_mean_over_tokens_and_the_echos_over_its_own_steps() -> None:
    state = after_step(after_step(START, FIRST), SECOND)
    metrics = interval_metrics(state, SECOND, epoch=0.5)
    assert (metrics.step, metrics.loss, metrics.echo_loss, metrics.distillation_loss) == (2, 16 / 8, 9 / 6, 3 / 6)
    assert (metrics.echo_share, metrics.tokens_per_second) == (0.5, 100 / 4)


def test_without_an_echo_step_there_is_no_echo_loss() -> None:
    metrics = interval_metrics(after_step(START, replace(SECOND, step=0)), SECOND, epoch=0.1)
    assert (metrics.echo_loss, metrics.distillation_loss, metrics.echo_share) == (None, None, 0.0)


def test_a_logged_line_begins_a_new_interval_and_keeps_the_totals() -> None:
    state = after_step(START, FIRST)
    fresh = begin_interval(state, interval_metrics(state, FIRST, epoch=0.1))
    assert fresh.interval == Interval()
    assert (fresh.step, fresh.echo_steps, fresh.seconds, fresh.last_loss) == (1, 1, 2.0, 2.0)


def test_steps_are_taken_in_order() -> None:
    with pytest.raises(AssertionError, match="in order"):
        after_step(START, SECOND)
