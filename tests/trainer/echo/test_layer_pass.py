"""A pass binds its own forwards to the layers it enters, reads what it was asked to, and leaves PEFT's model behind."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch.distributed.utils import _apply_to_tensors

from trainer.echo.layer_pass import LayerPass, receivers_of, whole_pass
from trainer.echo.shared_prefix import PrefixPass


def a_pass(objective: Any, kind: type[LayerPass] = LayerPass, **reads: Any) -> LayerPass:
    return kind(objective.paths.forwards(objective.row_norms.current()), **reads)


def test_it_reads_source_layers_at_the_boundary_and_keeps_whole_layers(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config()), objectives.ragged_batch()
    reading = objective.paths.reading(batch)
    layer_pass = a_pass(objective, reading=reading, source_layers=frozenset({1, 3}), kept_layers=frozenset({0, 1}))
    whole_pass(objective.paths, layer_pass, batch)
    assert [tuple(state.shape) for state in layer_pass.read_states] == [(4, 32), (4, 32)]
    assert torch.equal(layer_pass.read_states[0], objectives.at_boundary(layer_pass.states[1], batch).detach())
    assert set(layer_pass.states) == {0, 1}


def test_a_layer_that_fails_gives_its_modules_back_to_peft(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config("dora")), objectives.ragged_batch()
    peft = [adapted.module.lora_variant["default"] for adapted in objective.paths.adapted]

    def fail(*_: Any) -> None:
        raise RuntimeError("in the middle of a layer")

    objective.paths.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        whole_pass(objective.paths, a_pass(objective), batch)
    assert all(
        adapted.module.lora_variant["default"] is own
        for adapted, own in zip(objective.paths.adapted, peft, strict=True)
    )


def test_a_finished_pass_records_nothing_more(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config()), objectives.ragged_batch()
    layer_pass = a_pass(objective, reading=objective.paths.reading(batch), source_layers=frozenset({2}))
    whole_pass(objective.paths, layer_pass, batch)
    layer_pass.leave(2, torch.zeros(4, 15, 32))
    assert len(layer_pass.read_states) == 1


@pytest.mark.parametrize("kind", [LayerPass, PrefixPass])
def test_fsdp_hands_a_layer_the_pass_itself_and_not_a_copy(objectives: ModuleType, kind: type[LayerPass]) -> None:
    """FSDP2 makes dataclasses among a layer's arguments anew; what a layer wrote into the copy would be lost."""
    layer_pass = a_pass(objectives.objective_of(objectives.train_config()), kind)
    arguments = _apply_to_tensors(lambda tensor: tensor.bfloat16(), {"layer_pass": layer_pass})
    assert arguments["layer_pass"] is layer_pass


def test_receivers_add_each_samples_vector_where_it_is_received() -> None:
    receiving = torch.tensor([[True, False, True], [False, True, False]])
    vectors = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    added = (receivers_of(receiving) @ vectors).view(2, 3, 2)
    assert added.tolist() == [[[1, 2], [0, 0], [1, 2]], [[0, 0], [3, 4], [0, 0]]]
