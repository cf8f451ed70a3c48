"""The forward of one adapted module against PEFT's own formulas, and the echo added where it belongs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from trainer.echo.layer_pass import receivers_of
from trainer.model.lora_forward import AdaptedForward, Injection


def outputs(objective: Any, objectives: ModuleType, injection: Injection | None) -> tuple[torch.Tensor, torch.Tensor]:
    """One module's output by our forward and by PEFT's formula, with the same echo."""
    adapted, x = objective.paths.adapted[0], torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    norm = objective.row_norms.current().get(adapted.name)
    found = []
    for forward in (AdaptedForward(norm, injection), objectives.PeftForward(adapted.variant, injection)):
        adapted.bind(forward)
        found.append(adapted.module(x))
        adapted.bind(None)
    return found[0], found[1]


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("place", [None, "output", "rank"])
def test_it_is_pefts_formula_with_the_echo(objectives: ModuleType, method: str, place: Any) -> None:
    objective = objectives.objective_of(objectives.train_config(method)).eval()
    width = {"output": objective.paths.adapted[0].module.out_features, "rank": 4}
    receivers = receivers_of(torch.tensor([[False, True, True, False, True]] * 2))
    injection = Injection(torch.randn(2, width[place]), receivers, place) if place else None
    ours, pefts = outputs(objective, objectives, injection)
    torch.testing.assert_close(ours, pefts, rtol=1e-4, atol=1e-5)


def test_modules_are_found_with_their_layer(objectives: ModuleType) -> None:
    adapted = objectives.objective_of(objectives.train_config()).paths.adapted
    assert len(adapted) == 4 * 5
    assert adapted[0].name.startswith("0.self_attn.")
    assert [module.layer for module in adapted] == sorted(module.layer for module in adapted)


def test_an_unbound_module_runs_what_peft_made_it_run(objectives: ModuleType) -> None:
    adapted = objectives.objective_of(objectives.train_config("dora")).paths.adapted[0]
    variant = adapted.module.lora_variant["default"]
    adapted.bind(AdaptedForward())
    assert adapted.module.lora_variant["default"] is not variant
    adapted.bind(None)
    assert adapted.module.lora_variant["default"] is variant
