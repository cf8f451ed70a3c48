"""The two-pass reference against the formulas written out in plain torch, and under gradient checkpointing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional as F


def written_out(objectives: ModuleType, objective: Any, batch: Any, echo: Any) -> torch.Tensor:
    """The loss from full logits of transformers' own forward, the echo added by forward hooks."""
    model, columns = objective.model, batch.labels.shape[1]

    def log_probabilities(temperature: float = 1.0) -> torch.Tensor:
        logits = model(batch.input_ids, attention_mask=batch.attention_mask).logits
        return (logits[:, :-1] / temperature).log_softmax(dim=-1)

    def cross_entropy(log_p: torch.Tensor) -> torch.Tensor:
        return F.nll_loss(log_p.flatten(0, 1), batch.labels[:, 1:].flatten(), reduction="sum")

    off, off_tempered = log_probabilities(), log_probabilities(echo.distillation.temperature)
    states = model(batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True).hidden_states
    vectors = objective.echo([objectives.at_boundary(states[layer + 1], batch).detach() for layer in (0, 2)])
    positions = torch.zeros(len(batch.labels), columns, 1).masked_fill(
        batch.completion_mask.roll(-1, dims=1)[..., None], 1.0
    )
    layers = model.get_base_model().model.layers
    hooks = [
        layers.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, vector=vector: output + positions * vector[:, None]
        )
        for name, vector in vectors.items()
    ]
    on, on_tempered = log_probabilities(), log_probabilities(echo.distillation.temperature)
    for hook in hooks:
        hook.remove()
    teacher = on_tempered.detach()
    divergence = (teacher.exp() * (teacher - off_tempered)).sum(dim=-1)[batch.completion_mask[:, 1:]].sum()
    kd = echo.distillation.weight * echo.distillation.temperature**2 * divergence
    return (cross_entropy(off) + echo.loss_weight * cross_entropy(on) + kd) / batch.supervised_tokens


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
def test_loss_and_gradients_are_those_of_the_formula_written_out(objectives: ModuleType, method: str) -> None:
    echo = {"implementation": "two_pass", "loss_weight": 0.7, "source_layers": (0, 2)}
    config = objectives.train_config(method, echo=echo | {"distillation": {"weight": 0.3, "temperature": 1.5}})
    objective, batch = objectives.objective_of(config), objectives.ragged_batch()
    (losses,), found = objectives.gradients(objective, [batch])
    objective.zero_grad()
    expected = written_out(objectives, objective, batch, config.echo)
    expected.backward()
    torch.testing.assert_close(losses.total, expected)
    reference = {name: p.grad for name, p in objective.named_parameters() if p.requires_grad}
    assert objectives.largest_difference(found, reference) < 1e-5


@pytest.mark.parametrize("implementation", ["two_pass", "shared_prefix"])
@pytest.mark.parametrize("place", ["output", "rank"])
def test_recomputation_sees_the_echo_of_its_own_pass(objectives: ModuleType, implementation: str, place: str) -> None:
    """Both forwards run before either backward, so a recomputation that took the latest echo would take the wrong one."""
    batches = [objectives.ragged_batch(seed=seed) for seed in (3, 4)]
    results = []
    for checkpointing in (False, True):
        config = objectives.train_config(
            echo={"implementation": implementation, "place": place}, training={"gradient_checkpointing": checkpointing}
        )
        objective = objectives.objective_of(config)
        losses = [objective(batch, True, 30).total for batch in batches]
        losses[0].backward()
        losses[1].backward()
        results.append({name: p.grad for name, p in objective.named_parameters() if p.requires_grad})
    assert objectives.largest_difference(*results) == 0.0


def test_checkpointing_with_dropout_draws_the_same_masks_again(objectives: ModuleType) -> None:
    results = []
    for checkpointing in (False, True):
        changes = {"adapter": {"dropout": 0.3}, "training": {"gradient_checkpointing": checkpointing}}
        objective = objectives.objective_of(objectives.train_config("echo_dora", **changes))
        torch.manual_seed(5)
        results.append(objectives.gradients(objective, [objectives.ragged_batch()])[1])
    assert objectives.largest_difference(*results) == 0.0
