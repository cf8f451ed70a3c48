"""The echo path: what it reads, what it makes of it, and where it starts."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.echo.injector import another_samples, summary


def summaries(objective: Any, batch: Any) -> Tensor:
    """z of one echo pass."""
    seen: list[Tensor] = []
    handle = objective.echo.register_forward_pre_hook(lambda path, inputs: seen.append(summary(inputs[0])))
    objective(batch, True, 1)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("implementation", ["shared_prefix", "two_pass"])
def test_changing_the_answer_leaves_the_echo_bit_identical(objectives: ModuleType, implementation: str) -> None:
    objective = objectives.objective_of(objectives.train_config(echo={"implementation": implementation}))
    batch = objectives.ragged_batch()
    other = replace(batch, input_ids=torch.where(batch.completion_mask, (batch.input_ids + 1) % 97, batch.input_ids))
    assert torch.equal(summaries(objective, batch), summaries(objective, other))


def test_changing_the_prompt_changes_the_echo(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config()), objectives.ragged_batch()
    other = replace(batch, input_ids=torch.where(batch.completion_mask, batch.input_ids, (batch.input_ids + 1) % 97))
    assert not torch.allclose(summaries(objective, batch), summaries(objective, other))


def test_the_echo_is_the_normalised_mean_of_the_source_layers_at_the_boundary(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config(echo={"source_layers": (1, -2)}))
    batch = objectives.ragged_batch()
    outputs = objective.model(
        batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
    ).hidden_states
    mean = objectives.at_boundary(outputs[2] + outputs[3], batch) / 2  # hidden_states[0] is the embedding
    expected = (mean - mean.mean(dim=1, keepdim=True)) / (mean.var(dim=1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    z = summaries(objective, batch)
    torch.testing.assert_close(z, expected.detach(), rtol=1e-5, atol=1e-5)
    assert not z.requires_grad


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("place", ["output", "rank"])
def test_training_starts_at_the_plain_path(objectives: ModuleType, method: str, place: str) -> None:
    config = objectives.train_config(method, echo={"place": place, "implementation": "two_pass"})
    objective, batch = objectives.objective_of(config, trained=False), objectives.ragged_batch()
    losses = objective(batch, True, batch.supervised_tokens)
    assert torch.equal(losses.echo, losses.plain)
    assert float(losses.distillation) == 0.0


def test_the_zero_started_projection_has_a_gradient_at_once(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config(), trained=False)
    _, found = objectives.gradients(objective, [objectives.ragged_batch()])
    projections = [matrix for name, gradient in found.items() if "outer" in name for matrix in gradient[0]]
    assert len(projections) == 2 * 5
    assert all(gradient.norm() > 0 for gradient in projections)


@pytest.mark.parametrize("place", ["output", "rank"])
def test_each_module_has_networks_of_its_own(objectives: ModuleType, place: str) -> None:
    path = objectives.objective_of(objectives.train_config(echo={"place": place})).echo
    states = [torch.randn(3, 32), torch.randn(3, 32)]
    z, vectors = summary(states), path(states)
    expected = []
    for injectors in path.injectors.values():
        (w1, u1), (w2, u2) = injectors.inner, injectors.outer
        expected += [
            injectors.scale
            * (z @ u1[i].T).tanh().matmul(u2[i].T).add(c).sigmoid()
            * (z @ w1[i].T).tanh().matmul(w2[i].T)
            for i, c in enumerate(injectors.sigmoid_bias)
        ]
    assert list(vectors) == [name for names in path.names.values() for name in names]
    torch.testing.assert_close(list(vectors.values()), expected)


def test_initial_weights_depend_on_the_seed_alone(objectives: ModuleType) -> None:
    states = []
    for noise in (1, 2):
        config = objectives.train_config()
        base = objectives.base_model()
        torch.manual_seed(noise)
        states.append(objectives.objective_of(config, base, trained=False).echo.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_another_samples_echo_is_never_ones_own() -> None:
    z = torch.arange(12.0).view(4, 3)
    assert not (another_samples(z) == z).any()
    assert sorted(another_samples(z)[:, 0].tolist()) == sorted(z[:, 0].tolist())
    assert not another_samples(z[:1]).any()


def test_a_constant_echo_is_the_same_for_every_sample_and_learned(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config(echo={"content": "constant"}))
    vectors = objective.echo([torch.randn(3, 32)])
    assert all(torch.equal(vector[0], vector[1]) and torch.equal(vector[0], vector[2]) for vector in vectors.values())
    _, found = objectives.gradients(objective, [objectives.ragged_batch()])
    assert found["echo.constant"].norm() > 0


@pytest.mark.parametrize("positions", ["answers", "all"])
def test_only_positions_before_an_answer_token_receive_the_echo(objectives: ModuleType, positions: str) -> None:
    echo = {"positions": positions, "implementation": "two_pass", "target_layers": (0,)}
    objective, batch = objectives.objective_of(objectives.train_config(echo=echo)), objectives.ragged_batch()
    outputs: list[Tensor] = []
    query = objective.model.get_base_model().model.layers[0].self_attn.q_proj
    query.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    objective(batch, True, 1)
    received = (outputs[0] != outputs[1]).any(dim=-1)
    expected = batch.before_completion if positions == "answers" else batch.attention_mask[:, :-1]
    assert torch.equal(received, expected)
