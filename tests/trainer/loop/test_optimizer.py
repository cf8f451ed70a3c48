"""AdamW's groups, and its state as plain tensors: what a checkpoint gives back is what it took."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from trainer.loop.optimizer import make_optimizer, restore_tensors, trainable_parameters, training_tensors


def trained(objectives: ModuleType, method: str = "echo_dora", **echo: Any) -> tuple[Any, torch.optim.AdamW]:
    config = objectives.train_config(method, echo={"bottleneck": 8, **echo})
    objective = objectives.objective_of(config)
    return objective, make_optimizer(trainable_parameters(objective), config)


def take_step(objectives: ModuleType, objective: Any, optimizer: torch.optim.AdamW) -> None:
    objectives.gradients(objective, [objectives.ragged_batch()])
    optimizer.step()
    objective.row_norms.invalidate()


@pytest.mark.parametrize(("method", "parts"), [("lora", ["adapter"]), ("echo_dora", ["adapter", "echo"])])
def test_adapter_and_echo_are_parts_of_their_own(objectives: ModuleType, method: str, parts: list[str]) -> None:
    objective, optimizer = trained(objectives, method)
    assert list(trainable_parameters(objective)) == parts
    assert len(optimizer.param_groups) == len(parts)
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert grouped == {id(p) for p in objective.parameters() if p.requires_grad}


def test_a_restored_training_goes_on_bit_for_bit(objectives: ModuleType) -> None:
    objective, optimizer = trained(objectives)
    take_step(objectives, objective, optimizer)
    saved = training_tensors(trainable_parameters(objective), optimizer)
    other, fresh = trained(objectives)
    restore_tensors(trainable_parameters(other), fresh, saved)
    other.row_norms.invalidate()
    for one, its in ((objective, optimizer), (other, fresh)):
        take_step(objectives, one, its)
    pairs = zip(objective.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_every_restored_tensor_lies_where_its_parameter_does(objectives: ModuleType) -> None:
    """AdamW's step counter, too: the fused AdamW of a GPU refuses one that was left in main memory."""
    objective, optimizer = trained(objectives)
    take_step(objectives, objective, optimizer)
    saved = training_tensors(trainable_parameters(objective), optimizer)
    moved, fresh = trained(objectives)
    moved.to("meta")
    restore_tensors(trainable_parameters(moved), fresh, saved)
    restored = [value for state in fresh.state.values() for value in state.values()]
    assert restored
    assert {value.device.type for value in restored} == {"meta"}
