"""The validation loss is what ships: plain path, no dropout, nats per supervised token."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from trainer.data.dataloader import StepBatches
from trainer.data.tokenization import Example
from trainer.loop.validation import validation_loss

EXAMPLES = [
    Example(tuple(range(3, 10 + length)), (False,) * 6 + (True,) * (1 + length), boundary=5) for length in (0, 2, 5)
]


def loss_of(objectives: ModuleType, objective: Any, **training: Any) -> float:
    config = objectives.train_config("echo_lora", training=training)
    return validation_loss(objective, StepBatches(EXAMPLES, config, pad_token_id=0), Accelerator(cpu=True))


def test_it_is_the_mean_over_tokens_of_the_plain_paths_cross_entropy(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config("echo_lora", adapter={"dropout": 0.5}))
    sums, tokens = torch.zeros(()), 0
    objective.eval()
    for example in EXAMPLES:
        ids = torch.tensor([example.input_ids])
        with torch.no_grad():
            logits = objective.model(ids).logits[0, example.boundary : -1]
        sums += F.cross_entropy(logits, ids[0, example.boundary + 1 :], reduction="sum")
        tokens += len(logits)
    objective.train()
    assert loss_of(objectives, objective) == pytest.approx(float(sums) / tokens, rel=1e-5)
    assert objective.training


def test_micro_batches_do_not_change_it(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config("echo_lora"))
    one, three = (loss_of(objectives, objective, batch_size=size) for size in (3, 1))
    assert one == pytest.approx(three, rel=1e-6)
