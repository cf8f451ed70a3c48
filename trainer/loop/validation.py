"""The plain path's cross-entropy on the validation rows: the loss of what ships."""

from __future__ import annotations

import math

import torch
from accelerate import Accelerator

from schemas.errors import Diverged
from trainer.data.dataloader import StepBatches
from trainer.echo.objective import Objective
from trainer.loop.step import autocast


def validation_loss(objective: Objective, validation: StepBatches, accelerator: Accelerator) -> float:
    """Nats per supervised token over all validation rows, without dropout or echo.

    Raises:
        Diverged: it is no finite number, which no manifest can hold.
    """
    samples = range(len(validation.examples))
    _, supervised = validation.tokens(samples)
    total = torch.zeros((), device=accelerator.device)
    was_training = objective.training
    objective.eval()
    with torch.no_grad(), autocast(validation.config.training.autocast, accelerator.device):
        for batch in validation.batches(samples):
            losses = objective(batch.to(accelerator.device), echo_on=False, supervised_tokens=supervised)
            total += losses.plain
    objective.train(was_training)
    loss: torch.Tensor = accelerator.reduce(total, reduction="sum")
    if not math.isfinite(float(loss)):
        raise Diverged("the validation loss is not finite", fix="train with a lower rate, or score in another type")
    return float(loss) / supervised
