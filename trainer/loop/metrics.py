"""How a step's report changes the run's state, and what a stretch of steps comes to as one line of metrics."""

from __future__ import annotations

from schemas.training.training_metrics import TrainingMetrics
from trainer.checkpoint.state import Interval, TrainingState
from trainer.loop.step import StepReport


def after_step(state: TrainingState, report: StepReport) -> TrainingState:
    """The state after one more optimizer step."""
    assert report.step == state.step, "steps are taken in order"
    interval = state.interval
    grown = Interval(
        steps=interval.steps + 1,
        echo_steps=interval.echo_steps + report.echo_on,
        loss=interval.loss + report.loss,
        echo_loss=interval.echo_loss + report.echo_loss,
        distillation_loss=interval.distillation_loss + report.distillation_loss,
        supervised_tokens=interval.supervised_tokens + report.supervised_tokens,
        echo_tokens=interval.echo_tokens + report.echo_on * report.supervised_tokens,
        tokens=interval.tokens + report.tokens,
        seconds=interval.seconds + report.seconds,
    )
    return state.model_copy(
        update={
            "step": state.step + 1,
            "echo_steps": state.echo_steps + report.echo_on,
            "seconds": state.seconds + report.seconds,
            "interval": grown,
        }
    )


def interval_metrics(state: TrainingState, report: StepReport, epoch: float) -> TrainingMetrics:
    """Means over the steps since the last line; `report` is the last of them."""
    interval = state.interval
    per_echo_token = 1 / interval.echo_tokens if interval.echo_tokens else None
    return TrainingMetrics(
        step=state.step,
        epoch=epoch,
        loss=interval.loss / max(1, interval.supervised_tokens),
        echo_loss=interval.echo_loss * per_echo_token if per_echo_token else None,
        distillation_loss=interval.distillation_loss * per_echo_token if per_echo_token else None,
        echo_probability=report.echo_probability,
        echo_share=None if report.echo_probability is None else interval.echo_steps / interval.steps,
        learning_rate=report.learning_rate,
        gradient_norm=report.gradient_norm,
        tokens_per_second=interval.tokens / interval.seconds,
        supervised_tokens_per_second=interval.supervised_tokens / interval.seconds,
        seconds=state.seconds,
    )


def begin_interval(state: TrainingState, metrics: TrainingMetrics) -> TrainingState:
    """The state after a line was logged."""
    return state.model_copy(update={"interval": Interval(), "last_loss": metrics.loss})
