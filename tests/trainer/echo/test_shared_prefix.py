"""The shared-prefix echo pass has the loss and the gradients of the two-pass reference."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from transformers import AttentionInterface, MistralConfig, MistralForCausalLM

from trainer.echo import suffix_attention

MATRIX = list(itertools.product(("echo_lora", "echo_dora"), ("output", "rank"), ("echo", "plain"), (False, True)))


@pytest.mark.parametrize(("method", "place", "teacher", "checkpointing"), MATRIX)
@pytest.mark.parametrize("loss_on", ["answers", "all"])
def test_gradients_equal_the_reference(
    objectives: ModuleType, method: str, place: str, teacher: str, checkpointing: bool, loss_on: str
) -> None:
    sections: dict[str, Any] = {"training": {"gradient_checkpointing": checkpointing}, "data": {"loss_on": loss_on}}
    echo = {"place": place, "distillation": {"teacher": teacher}}
    config = objectives.train_config(method, **sections, echo={"bottleneck": 8, **echo})
    reference = objectives.train_config(method, data={"loss_on": loss_on}, echo={**echo, "implementation": "two_pass"})
    batch = objectives.ragged_batch(loss_on=loss_on)
    found_losses, found = objectives.gradients(objectives.objective_of(config), [batch])
    reference_losses, expected = objectives.gradients(objectives.objective_of(reference), [batch])
    assert objectives.largest_difference(found, expected) < 1e-5
    for part in ("total", "plain", "echo", "distillation"):
        torch.testing.assert_close(getattr(found_losses[0], part), getattr(reference_losses[0], part))


SETTINGS: dict[str, dict[str, Any]] = {
    "pooled over the last tokens": {"pooling": "last", "pooled_tokens": 3},
    "pooled over the question": {"pooling": "question"},
    "centred": {"normalisation": "centred"},
    "whitened": {"normalisation": "whitened", "pooling": "question"},
    "a gradient to the echo": {"gradient_to_echo": True, "source_layers": (1, -1)},
    "all of it, centred": {
        "gradient_to_echo": True,
        "normalisation": "centred",
        "pooling": "last",
        "learn_scale": True,
    },
    "a learned scale": {"learn_scale": True, "scale": 0.1},
    "dropout in the networks": {"dropout": 0.5},
    "oracle": {"content": "oracle", "normalisation": "centred"},
    "both teach": {"distillation": {"teacher": "both"}},
    "R-Drop": {"content": "none", "distillation": {"teacher": "both", "temperature": 1.0}},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_setting_of_the_echo_is_exact(objectives: ModuleType, setting: str, checkpointing: bool) -> None:
    """The second of two steps, so that there are running statistics; gradients through the echo included."""
    batch, results = objectives.ragged_batch(), []
    for implementation in ("shared_prefix", "two_pass"):
        echo = {"bottleneck": 8, "implementation": implementation, **SETTINGS[setting]}
        training = {"gradient_checkpointing": checkpointing}
        objective = objectives.objective_of(objectives.train_config(echo=echo, training=training))
        objectives.gradients(objective, [objectives.ragged_batch(seed=3)])
        objective.end_step(echo_on=True, reduce=lambda tensor: tensor)
        torch.manual_seed(0)
        results.append(objectives.gradients(objective, [batch]))
    assert objectives.largest_difference(results[0][1], results[1][1]) < 1e-5
    for part in ("total", "plain", "echo", "distillation"):
        torch.testing.assert_close(getattr(results[0][0][0], part), getattr(results[1][0][0], part))


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("prompt", [11, 40])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_grouping_of_heads_is_exact_in_both_attentions(
    objectives: ModuleType, method: str, heads: int, prompt: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suffixes of 5 columns: to 15 columns in all the kernel attends, to 44 the formulas of trainer/echo/suffix_attention.py."""
    batch, formulas = objectives.ragged_batch(prompt=prompt), Mock(side_effect=suffix_attention.attend_apart)
    monkeypatch.setattr(suffix_attention, "attend_apart", formulas)
    results = [
        objectives.gradients(
            objectives.objective_of(
                objectives.train_config(
                    method,
                    echo={"implementation": implementation},
                    training={"gradient_checkpointing": checkpointing},
                ),
                objectives.base_model(num_key_value_heads=heads),
            ),
            [batch],
        )[1]
        for implementation in ("shared_prefix", "two_pass")
    ]
    assert objectives.largest_difference(*results) < 1e-5
    assert formulas.called == (prompt == 40)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_accumulated_micro_batches_equal_the_whole_batch(objectives: ModuleType, checkpointing: bool) -> None:
    config = objectives.train_config("echo_dora", training={"gradient_checkpointing": checkpointing})
    objective, batch = objectives.objective_of(config), objectives.ragged_batch()
    whole_losses, whole = objectives.gradients(objective, [batch])
    parts = [objectives.rows_of(batch, slice(row, row + 1)) for row in range(4)]
    losses, accumulated = objectives.gradients(objective, parts)
    torch.testing.assert_close(sum(part.total for part in losses), whole_losses[0].total)
    assert objectives.largest_difference(accumulated, whole) < 1e-5


def test_the_second_pass_runs_one_row_for_each_answer_token(objectives: ModuleType) -> None:
    objective, batch = objectives.objective_of(objectives.train_config()), objectives.ragged_batch()
    rows: list[int] = []
    objective.model.get_base_model().model.layers[0].register_forward_hook(
        lambda layer, inputs, output: rows.append(output.shape[0] * output.shape[1])
    )
    objective(batch, True, batch.supervised_tokens)
    assert rows == [4 * 15, 5 + 4 + 3 + 2]  # four samples of 15 columns; their answers, without padding


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("loss_on", ["answers", "all"])
def test_a_chat_of_several_answers_is_exact(objectives: ModuleType, method: str, loss_on: str) -> None:
    """Turns between the answers run twice as well: they see the echo of the answers before them."""
    batch = objectives.ragged_batch(answer=9, loss_on=loss_on)
    between = torch.zeros_like(batch.completion_mask)
    for row, boundary in enumerate(batch.boundaries.tolist()):
        between[row, boundary + 3 : boundary + 6] = True
    labels = torch.where(between, -100, batch.labels) if loss_on == "answers" else batch.labels
    chat = replace(batch, labels=labels, completion_mask=batch.completion_mask & ~between)
    results = [
        objectives.gradients(
            objectives.objective_of(
                objectives.train_config(method, data={"loss_on": loss_on}, echo={"implementation": implementation})
            ),
            [chat],
        )
        for implementation in ("shared_prefix", "two_pass")
    ]
    assert objectives.largest_difference(results[0][1], results[1][1]) < 1e-5
    torch.testing.assert_close(results[0][0][0].total, results[1][0][0].total)


@pytest.mark.parametrize("case", ["sliding window", "eager attention", "echo at all positions"])
def test_what_cannot_share_a_prefix_runs_the_reference_and_says_so_once(
    objectives: ModuleType, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    def build(implementation: str) -> Any:
        config = objectives.train_config(echo={"implementation": implementation, **changes})
        return objectives.objective_of(config, mistral(objectives) if case == "sliding window" else base())

    def base() -> Any:
        model = objectives.base_model()
        if case == "eager attention":
            model.set_attn_implementation("eager")
        return model

    changes = {"positions": "all"} if case == "echo at all positions" else {}
    batch = objectives.ragged_batch()
    with caplog.at_level(logging.WARNING, logger="trainer.echo.objective"):
        fallback = build("shared_prefix")
        found = objectives.gradients(fallback, [batch, batch])[1]
    assert sum("running the whole batch twice" in record.message for record in caplog.records) == 1
    assert objectives.largest_difference(found, objectives.gradients(build("two_pass"), [batch, batch])[1]) < 1e-6


def mistral(objectives: ModuleType) -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MistralConfig(vocab_size=objectives.VOCABULARY, num_hidden_layers=3, sliding_window=4, **shape)
    return MistralForCausalLM(config).requires_grad_(False)


def test_layers_that_attend_in_a_way_of_their_own_are_noticed(
    objectives: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_interface = AttentionInterface.get_interface
    monkeypatch.setattr(AttentionInterface, "get_interface", lambda self, name, own: get_interface(self, "sdpa", own))
    with caplog.at_level(logging.WARNING, logger="trainer.echo.objective"):
        objective, batch = objectives.objective_of(objectives.train_config()), objectives.ragged_batch()
    assert "attend in a way of their own" in caplog.text
    found = objectives.gradients(objective, [batch])[1]
    reference = objectives.objective_of(objectives.train_config(echo={"implementation": "two_pass"}))
    assert objectives.largest_difference(found, objectives.gradients(reference, [batch])[1]) < 1e-6


def test_a_whole_pass_attends_without_a_mask_and_keeps_heads_grouped(
    objectives: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective, batch = objectives.objective_of(objectives.train_config("lora")), objectives.ragged_batch()
    kernel, calls = torch.nn.functional.scaled_dot_product_attention, []

    def look(query: Any, key: Any, value: Any, **options: Any) -> torch.Tensor:
        calls.append((key.shape[1], options["attn_mask"], options["is_causal"], options["enable_gqa"]))
        return kernel(query, key, value, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
    objective(batch, False, batch.supervised_tokens)
    assert calls == [(2, None, True, True)] * 4  # 2 of 4 heads


def test_where_the_model_makes_masks_cudnn_does_not_attend(objectives: ModuleType) -> None:
    objectives.objective_of(objectives.train_config("lora"), mistral(objectives))
    assert not torch.backends.cuda.cudnn_sdp_enabled()
