"""Representation distillation: the formula written out, the same over the suffix, and a gradient to the plain path alone."""

from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

ONLY_THE_GAP = {"loss_weight": 0.0, "target_layers": (0, 1), "source_layers": (2, 3)}


def config_of(objectives: ModuleType, method: str = "echo_lora", implementation: str = "two_pass", **training: object):
    distillation = {"weight": 0.0, "representations": 0.7}
    echo = ONLY_THE_GAP | {"distillation": distillation, "implementation": implementation}
    return objectives.train_config(method, echo=echo, training=training)


def test_the_loss_is_the_formula_written_out(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(config_of(objectives)), objectives.ragged_batch()
    model, layers = objective.model, objective.model.get_base_model().model.layers
    arguments = {"attention_mask": batch.attention_mask}
    plain = model(batch.input_ids, **arguments, output_hidden_states=True).hidden_states
    vectors = objective.echo(
        [objectives.at_boundary(plain[layer + 1], batch) for layer in (2,)] + [_last(objectives, model, batch)]
    )
    positions = batch.completion_mask.roll(-1, dims=1)[..., None].float()
    hooks = [
        layers.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, vector=vector: output + positions * vector[:, None]
        )
        for name, vector in vectors.items()
    ]
    echo = model(batch.input_ids, **arguments, output_hidden_states=True).hidden_states
    for hook in hooks:
        hook.remove()
    gap = torch.zeros(())
    for layer in (0, 1):
        ours, theirs = (F.layer_norm(states[layer + 1], (32,))[positions[..., 0].bool()] for states in (plain, echo))
        gap = gap + (ours - theirs).square().mean(dim=1).sum() / 2
    (losses,), _ = objectives.gradients(objective, [batch])
    expected = losses.plain + 0.7 * gap
    torch.testing.assert_close(losses.total, expected / batch.supervised_tokens)


def _last(objectives: ModuleType, model: torch.nn.Module, batch: object) -> torch.Tensor:
    """[B, d]: the last layer's output at the boundary, before the final norm that hidden_states ends with."""
    kept: list[torch.Tensor] = []
    hook = model.get_base_model().model.layers[-1].register_forward_hook(lambda *call: kept.append(call[2]))
    model(batch.input_ids, attention_mask=batch.attention_mask)
    hook.remove()
    return objectives.at_boundary(kept[0], batch)


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_over_the_suffix_it_is_the_same(objectives: ModuleType, method: str, checkpointing: bool) -> None:
    found = []
    for implementation in ("two_pass", "shared_prefix"):
        config = config_of(objectives, method, implementation, gradient_checkpointing=checkpointing)
        losses, gradients = objectives.gradients(objectives.objective_of(config), [objectives.ragged_batch()])
        found.append((losses[0].total, gradients))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert objectives.largest_difference(found[1][1], found[0][1]) < 1e-5


def test_it_teaches_the_plain_path_and_not_the_echo(objectives: ModuleType) -> None:
    batch, weights = objectives.ragged_batch(), (0.0, 0.7)
    gradients = []
    for weight in weights:
        echo = ONLY_THE_GAP | {"loss_weight": 1.0, "distillation": {"weight": 0.0, "representations": weight}}
        objective = objectives.objective_of(objectives.train_config(echo=echo))
        gradients.append(objectives.gradients(objective, [batch])[1])
    moved = {name for name in gradients[0] if not torch.equal(gradients[0][name], gradients[1][name])}
    assert moved
    assert not any(name.startswith("echo.") for name in moved)
    deep = [name for name in moved if ".layers.2." in name or ".layers.3." in name]
    assert not deep
