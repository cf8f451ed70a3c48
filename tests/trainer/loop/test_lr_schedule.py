from __future__ import annotations

import pytest
import torch
from transformers import get_scheduler

from schemas.training.train_config import TrainingConfig
from trainer.loop.lr_schedule import rate_factor


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 5])
def test_the_schedules_are_those_of_transformers(schedule: str, warmup: int) -> None:
    name = "constant_with_warmup" if schedule == "constant" else schedule
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=20)
    training = TrainingConfig.model_validate({"schedule": schedule, "warmup_steps": warmup})
    for step in range(20):
        assert rate_factor(step, 20, training) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()
