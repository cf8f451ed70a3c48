"""Where a run will not do what its config reads like: said in the plan and at the start, or refused."""

from __future__ import annotations

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.loop.lr_schedule import rate_factor
from trainer.model.base_shape import BaseShape
from trainer.plan.hardware import refuse_shortages
from trainer.plan.memory_estimate import certain_needs

_SMALLEST = 1e-37  # below it, a step of AdamW is zero in float32


def notes_before_training(
    config: TrainConfig, shape: BaseShape, *, total: int, window: int | None, processes: int
) -> list[str]:
    """The notes on a run that is about to begin, which is refused where it cannot end well.

    Raises:
        UserError: nothing would be learned, or this machine is clearly too small.
    """
    refuse_idle(config, total=total)
    refuse_shortages(config, certain_needs(shape, config, processes=processes))
    return [f"note: {note}" for note in config_notes(config, total=total, window=window)]


def config_notes(config: TrainConfig, *, total: int, window: int | None) -> list[str]:
    """One line for each setting that does not come to what it says.

    Args:
        config: the run.
        total: its optimizer steps.
        window: tokens that the base can take; None where its config does not say.
    """
    notes, warmup = [], config.training.warmup_steps
    if warmup >= total:
        notes.append(
            f"the warm-up of {warmup} steps outlasts the run of {total}: the learning rate reaches at most "
            f"{_peak(config, total):.0%} of what was asked; lower training.warmup_steps"
        )
    if window is not None and config.data.max_length > window:
        notes.append(
            f"data.max_length is {config.data.max_length}, the base's window is {window} tokens: longer examples are left out"
        )
    if config.base.dtype == "float16":
        notes.append(
            "base.dtype is float16, in which gradients below 6e-8 become zero: bfloat16 has float32's range and the same size"
        )
    echo = config.echo_path
    if echo is not None and echo.implementation == "shared_prefix" and config.base.attention != "sdpa":
        notes.append(
            f"base.attention is {config.base.attention}, which keeps its keys to itself: an echo step runs every sample twice "
            "where with sdpa it runs the answers again"
        )
    return notes


def refuse_idle(config: TrainConfig, *, total: int) -> None:
    """Refuses a run whose every step would leave the adapter as it is, which no export takes.

    Raises:
        UserError: the learning rate is zero in every step.
    """
    if _peak(config, total) * config.training.rate_of(config.method) < _SMALLEST:
        raise UserError(
            f"the learning rate is zero in all {total} steps, so nothing would be learned",
            where=f"training.warmup_steps: {config.training.warmup_steps}",
            fix="lower the warm-up (the first of its steps has no rate at all), or train longer",
        )


def _peak(config: TrainConfig, total: int) -> float:
    """The largest factor on the rate; it rises to the end of the warm-up and falls or stays from there."""
    return max(rate_factor(step, total, config.training) for step in {min(config.training.warmup_steps, total - 1), 0})
