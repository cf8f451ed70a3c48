"""Fast DoRA: the factored norm is exact, evaluated once per step, and never stale."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def dora(objectives: ModuleType, method: str = "dora", **changes: Any) -> Any:
    return objectives.objective_of(objectives.train_config(method, **changes))


def exact_norm(adapted: Any) -> Tensor:
    module = adapted.module
    update = (
        module.lora_B["default"].weight.double() @ module.lora_A["default"].weight.double() * module.scaling["default"]
    )
    return (module.get_base_layer().weight.double() + update).norm(dim=1)


def test_the_factored_norm_is_the_norm(objectives: ModuleType) -> None:
    objective = dora(objectives)
    norms = objective.row_norms.current()
    assert len(norms) == 4 * 5
    for adapted in objective.paths.adapted:
        torch.testing.assert_close(norms[adapted.name].double(), exact_norm(adapted).detach(), rtol=1e-6, atol=0)


def test_a_bfloat16_base_has_a_float32_norm(objectives: ModuleType) -> None:
    config = objectives.train_config("dora", base={"dtype": "bfloat16"})
    objective = objectives.objective_of(config, objectives.base_model().bfloat16())
    for adapted, norm in zip(objective.paths.adapted, objective.row_norms.current().values(), strict=True):
        torch.testing.assert_close(norm.double(), exact_norm(adapted).detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("method", "place"), [("dora", "output"), ("echo_dora", "output"), ("echo_dora", "rank")])
def test_loss_and_gradients_equal_pefts_own_dora(objectives: ModuleType, method: str, place: str) -> None:
    """With `rank` this is also trap 2: PEFT's norm takes A of an identity, and the echo must not enter it."""
    objective = dora(objectives, method, echo={"place": place, "implementation": "two_pass"})
    batch = objectives.ragged_batch()
    (fast,), found = objectives.gradients(objective, [batch])
    (reference,), expected = objectives.gradients(objective, [batch], peft_formulas=True)
    torch.testing.assert_close(fast.total, reference.total)
    assert objectives.largest_difference(found, expected) < 5e-5  # PEFT's own rounding is in it


def test_a_bias_of_the_base_stays_outside_the_magnitude(objectives: ModuleType) -> None:
    base = objectives.base_model(attention_bias=True, mlp_bias=True)
    for name, parameter in base.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    objective = objectives.objective_of(objectives.train_config("dora"), base)
    found = objectives.gradients(objective, [objectives.ragged_batch()])[1]
    expected = objectives.gradients(objective, [objectives.ragged_batch()], peft_formulas=True)[1]
    assert objectives.largest_difference(found, expected) < 5e-5  # PEFT's own rounding is in it


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_evaluates_each_norm_once(objectives: ModuleType, checkpointing: bool) -> None:
    objective = dora(objectives, "echo_dora", training={"gradient_checkpointing": checkpointing})
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    for step in (1, 2, 3):
        objectives.gradients(objective, [objectives.ragged_batch(seed=seed) for seed in range(3)])
        assert objective.row_norms.evaluations == step * 4 * 5
        optimizer.step()
        objective.row_norms.invalidate()


class _Sizes(TorchDispatchMode):
    """Elements of the largest tensor that any operation makes, other than aliases of the weights."""

    def __init__(self, objective: torch.nn.Module) -> None:
        super().__init__()
        self.largest, self.weights = 0, {parameter.data_ptr() for parameter in objective.parameters()}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.largest = max([self.largest, *(leaf.numel() for leaf in made if leaf.data_ptr() not in self.weights)])
        return result


def test_nothing_of_the_weights_size_is_made(objectives: ModuleType) -> None:
    wide = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1}
    objective = objectives.objective_of(objectives.train_config("dora"), objectives.base_model(**wide))
    batch = objectives.ragged_batch(2, prompt=4, answer=2)
    sizes = {}
    for formulas_of_peft in (False, True):
        with _Sizes(objective) as seen:
            objectives.gradients(objective, [batch], peft_formulas=formulas_of_peft)
        sizes[formulas_of_peft] = seen.largest
    assert sizes[False] < 256 * 64 <= sizes[True]


def norms_are_exact(objective: Any) -> bool:
    norms = objective.row_norms.current()
    return all(
        torch.allclose(norms[adapted.name].double(), exact_norm(adapted).detach(), rtol=1e-6, atol=0)
        for adapted in objective.paths.adapted
    )


def test_a_write_to_the_weights_shows_once_it_is_announced(objectives: ModuleType) -> None:
    """Nothing guesses: until `invalidate` the norms are constants, whatever was written."""
    objective = dora(objectives)
    objective.row_norms.current()
    for adapted in objective.paths.adapted:
        adapted.module.lora_B["default"].weight.data.mul_(2)
    assert not norms_are_exact(objective)
    objective.row_norms.invalidate()
    assert norms_are_exact(objective)


def test_a_new_scaling_shows_once_it_is_announced(objectives: ModuleType) -> None:
    objective = dora(objectives)
    objective.row_norms.current()
    for adapted in objective.paths.adapted:
        adapted.module.scaling["default"] = 0.5
    objective.row_norms.invalidate()
    assert norms_are_exact(objective)


class _Operations(TorchDispatchMode):
    """Counts every operation on tensors."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_between_two_writes_the_norms_cost_nothing_and_wait_for_no_device(objectives: ModuleType) -> None:
    objective = dora(objectives)
    before = objective.row_norms.current()
    with _Operations() as operations:
        after = objective.row_norms.current()
    assert operations.count == 0
    assert all(after[name] is before[name] for name in before)


def test_dropout_acts_on_the_low_rank_branch_alone_and_the_base_product_runs_once(objectives: ModuleType) -> None:
    objective = dora(objectives, adapter={"dropout": 0.5})
    adapted = objective.paths.adapted[0]
    adapted.module.lora_B["default"].weight.data.zero_()
    calls: list[Tensor] = []
    adapted.module.base_layer.register_forward_hook(lambda module, inputs, output: calls.append(output.detach()))
    outputs: list[Tensor] = []
    adapted.module.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    batch = objectives.ragged_batch()
    objective(batch, False, batch.supervised_tokens)
    magnitude = adapted.module.lora_magnitude_vector["default"].weight / objective.row_norms.current()[adapted.name]
    assert len(calls) == 1
    torch.testing.assert_close(outputs[0], calls[0] * magnitude.detach())
