"""Self-distillation: the teacher is the average of the adapter's weights, and only the plain path learns from it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from schemas.errors import UserError

ECHO = {"content": "none", "loss_weight": 0.0, "distillation": {"teacher": "average", "average_decay": 0.9}}


def objective_of(objectives: ModuleType, **changes: Any) -> Any:
    return objectives.objective_of(objectives.train_config(echo=ECHO | changes), trained=False)


def test_at_the_start_the_average_is_the_adapter_and_teaches_nothing(objectives: ModuleType) -> None:
    (losses,), _ = objectives.gradients(objective_of(objectives), [objectives.ragged_batch()])
    assert float(losses.distillation) == pytest.approx(0, abs=1e-5)


def test_the_average_follows_the_weights_by_its_decay(objectives: ModuleType) -> None:
    objective = objective_of(objectives)
    before = {name: value.clone() for name, value in objective.running_tensors().items()}
    weights = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in weights.values():
            parameter += 1
    objective.end_step(echo_on=False, reduce=lambda tensor: tensor)
    assert before.keys() == objective.running_tensors().keys()
    assert len(before) == len(weights)
    for name, average in objective.running_tensors().items():
        torch.testing.assert_close(average, before[name] + 0.1)


def test_the_plain_path_is_pulled_to_the_average_alone(objectives: ModuleType) -> None:
    objective, batch = objective_of(objectives), objectives.ragged_batch()
    with torch.no_grad():
        for parameter in objective.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    (losses,), found = objectives.gradients(objective, [batch])
    assert float(losses.distillation) > 0
    assert losses.echo is None
    assert torch.isclose(losses.total * batch.supervised_tokens, losses.plain + losses.distillation)
    _, without = objectives.gradients(objective, [batch], echo_on=False)
    assert objectives.largest_difference(found, without) > 1e-3


@pytest.mark.parametrize("changes", [{"content": "sample"}, {"loss_weight": 1.0}])
def test_an_average_that_would_not_teach_alone_is_refused(objectives: ModuleType, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="set content: none, loss_weight: 0"):
        objectives.train_config(echo=ECHO | changes)


def test_it_is_for_lora(objectives: ModuleType) -> None:
    with pytest.raises(UserError, match="is for method echo_lora"):
        objectives.train_config("echo_dora", echo=ECHO)
