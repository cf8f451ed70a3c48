"""The learning-rate schedule as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from schemas.training.train_config import TrainingConfig


def rate_factor(step: int, total: int, training: TrainingConfig) -> float:
    """Factor on the peak rate at optimizer step `step` (from 0), as transformers' schedules of the same names have it."""
    warmup = training.warmup_steps
    if step < warmup:
        return step / max(1, warmup)
    if training.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    if training.schedule == "cosine":
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))
    return max(0.0, 1.0 - done)
