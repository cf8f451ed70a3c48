"""The objective as the training loop sees it: switches, idle echo steps, DDP, mixed precision, the model it leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from schemas.errors import UserError
from trainer.model.peft_adapter import attach_adapter

METHODS = ("lora", "dora", "echo_lora", "echo_dora")


@pytest.mark.parametrize("method", METHODS)
def test_outside_a_pass_the_model_is_pefts_own_bit_for_bit(objectives: ModuleType, method: str) -> None:
    objective = objectives.objective_of(objectives.train_config(method))
    config, untouched = objectives.train_config(method), objectives.base_model()
    untouched.name_or_path = config.base.model
    peft_model = attach_adapter(untouched, config)
    peft_model.load_state_dict(objective.model.state_dict())
    batch = objectives.ragged_batch()
    objective(batch, True, batch.supervised_tokens).total.backward()
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        assert torch.equal(objective.model.eval()(**inputs).logits, peft_model.eval()(**inputs).logits)


@pytest.mark.parametrize("method", METHODS)
def test_four_micro_batches_have_the_loss_of_one(objectives: ModuleType, method: str) -> None:
    objective, batch = objectives.objective_of(objectives.train_config(method)), objectives.ragged_batch()
    (whole,), expected = objectives.gradients(objective, [batch])
    parts, found = objectives.gradients(objective, [objectives.rows_of(batch, slice(i, i + 1)) for i in range(4)])
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    assert objectives.largest_difference(found, expected) < 1e-5


def test_an_echo_off_step_leaves_the_echo_parameters_wholly_alone(objectives: ModuleType) -> None:
    """Trap 3: neither weight decay nor the momentum of earlier steps moves them."""
    objective = objectives.objective_of(objectives.train_config())
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    for echo_on in (True, False):
        before = [parameter.clone() for parameter in objective.echo.parameters()]
        objectives.gradients(objective, [objectives.ragged_batch()], echo_on=echo_on)
        objective.release_idle_gradients(echo_on)
        optimizer.step()
        moved = [not torch.equal(old, new) for old, new in zip(before, objective.echo.parameters(), strict=True)]
        assert all(moved) if echo_on else not any(moved)


@pytest.fixture
def one_process_group(tmp_path: Path) -> Any:
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_ddp_goes_through_on_and_off_steps_without_searching_for_unused_parameters(
    objectives: ModuleType, one_process_group: Any, checkpointing: bool
) -> None:
    objective = objectives.objective_of(objectives.train_config(training={"gradient_checkpointing": checkpointing}))
    wrapped, batch = DistributedDataParallel(objective), objectives.ragged_batch()
    for echo_on in (True, False, True):
        expected = objectives.gradients(objective, [batch], echo_on=echo_on)[1]
        objective.zero_grad()
        wrapped(batch, echo_on, batch.supervised_tokens).total.backward()
        found = {name: p.grad for name, p in objective.named_parameters() if p.requires_grad}
        assert objectives.largest_difference(found, expected) < 1e-6
        objective.release_idle_gradients(echo_on)
        assert all((parameter.grad is not None) == echo_on for parameter in objective.echo.parameters())


def filler(batch: Any) -> Any:
    return replace(
        batch, labels=torch.full_like(batch.labels, -100), completion_mask=torch.zeros_like(batch.completion_mask)
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_micro_batch_without_supervised_rows_adds_zero_to_every_gradient(objectives: ModuleType, method: str) -> None:
    objective, batch = objectives.objective_of(objectives.train_config(method)), objectives.ragged_batch()
    losses, found = objectives.gradients(objective, [batch, filler(batch)])
    assert torch.equal(losses[1].total.detach(), torch.zeros(()))
    assert objectives.largest_difference(found, objectives.gradients(objective, [batch])[1]) == 0.0


def test_without_injection_the_echo_pass_is_a_second_plain_pass(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config(echo={"content": "none"}))
    assert objective.echo is None
    losses = objective(objectives.ragged_batch(), True, 1)
    torch.testing.assert_close(losses.echo, losses.plain)
    torch.testing.assert_close(losses.total.detach(), 2 * losses.plain + losses.distillation)
    assert abs(float(losses.distillation)) < 1e-4


@pytest.mark.parametrize("implementation", ["shared_prefix", "two_pass"])
def test_without_injection_dropout_still_tells_the_passes_apart(objectives: ModuleType, implementation: str) -> None:
    echo = {"content": "none", "implementation": implementation}
    objective = objectives.objective_of(objectives.train_config(echo=echo, adapter={"dropout": 0.3}))
    assert float(objective(objectives.ragged_batch(), True, 1).distillation) > 0.01


def test_each_auxiliary_can_be_switched_off_by_itself(objectives: ModuleType) -> None:
    batch = objectives.ragged_batch()
    totals = {}
    for loss_weight, weight in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)):
        echo = {"loss_weight": loss_weight, "distillation": {"weight": weight}}
        losses = objectives.objective_of(objectives.train_config(echo=echo))(batch, True, 1)
        totals[loss_weight, weight] = losses
        assert (losses.echo is None) == (loss_weight == 0)
        assert (losses.distillation is None) == (weight == 0)
    both = totals[1.0, 1.0]
    assert both.echo is not None
    torch.testing.assert_close(totals[1.0, 0.0].total.detach(), both.plain + both.echo)
    torch.testing.assert_close(totals[0.0, 1.0].total.detach(), both.plain + both.distillation)
    torch.testing.assert_close(totals[0.0, 0.0].total.detach(), both.plain)


@pytest.mark.parametrize("teacher", ["echo", "plain"])
def test_distillation_gives_no_gradient_to_its_teacher(objectives: ModuleType, teacher: str) -> None:
    echo = {"loss_weight": 0.0, "distillation": {"teacher": teacher}}
    objective = objectives.objective_of(objectives.train_config(echo=echo))
    _, found = objectives.gradients(objective, [objectives.ragged_batch()])
    reached = {name: gradient is not None for name, gradient in found.items() if name.startswith("echo.")}
    assert all(reached.values()) if teacher == "plain" else not any(reached.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("autocast", [False, True])
def test_a_bfloat16_base_trains_float32_adapter_and_echo(objectives: ModuleType, method: str, autocast: bool) -> None:
    exact = objectives.objective_of(objectives.train_config(method))
    rounded = objectives.objective_of(objectives.train_config(method), objectives.base_model().bfloat16())
    batch = objectives.ragged_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        losses = rounded(batch, True, batch.supervised_tokens)
    losses.total.backward()
    gradients = [parameter.grad for parameter in rounded.parameters() if parameter.requires_grad]
    assert {gradient.dtype for gradient in gradients if gradient is not None} == {torch.float32}
    torch.testing.assert_close(losses.total, exact(batch, True, batch.supervised_tokens).total, rtol=0.03, atol=0.03)


def test_evaluation_has_no_graph_and_no_dropout(objectives: ModuleType) -> None:
    objective = objectives.objective_of(objectives.train_config("dora", adapter={"dropout": 0.5})).eval()
    batch = objectives.ragged_batch()
    with torch.no_grad():
        first, second = (objective(batch, False, batch.supervised_tokens).total for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_lora_and_dora_ignore_the_echo_section_and_the_draw(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config("lora")), objectives.ragged_batch()
    assert objective.echo is None
    on, off = objective(batch, True, 1), objective(batch, False, 1)
    assert torch.equal(on.total, off.total)
    assert on.echo is None


@pytest.mark.parametrize(
    ("base", "echo", "message"),
    [
        ({"num_hidden_layers": 2}, {"source_layers": (2,)}, "names layer 2"),
        ({}, {"target_layers": (-9,)}, "names layer -9"),
    ],
)
def test_layers_that_are_not_there_are_refused(
    objectives: ModuleType, base: dict[str, int], echo: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        objectives.objective_of(objectives.train_config(echo=echo), objectives.base_model(**base))


@pytest.mark.parametrize("loss_on", ["answers", "all"])
def test_the_loss_is_transformers_own_with_full_logits(objectives: ModuleType, loss_on: str) -> None:
    """Trap 10: rows gathered by a mask lose no row at the boundary, as an integer `logits_to_keep` would."""
    config = objectives.train_config("lora", data={"loss_on": loss_on})
    objective, batch = objectives.objective_of(config), objectives.ragged_batch(loss_on=loss_on)
    labels = torch.full_like(batch.labels, -100)
    labels[:, 1:][batch.supervised] = batch.labels[:, 1:][batch.supervised]
    inputs = {"attention_mask": batch.attention_mask}
    expected = objective.model(batch.input_ids, labels=labels, **inputs).loss
    torch.testing.assert_close(objective(batch, False, batch.supervised_tokens).total, expected)
