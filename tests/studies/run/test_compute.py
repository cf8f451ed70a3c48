"""Counted compute: operations per token, the echo's expected share, and steps matched to another arm."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.studies.study_plan import StudyProtocol
from studies.run.protocol import draft_protocol


def test_compute_is_four_operations_per_base_value_and_six_per_trained_one(protocol: StudyProtocol) -> None:
    cost = protocol.planned("tiny", "lora").cost
    assert cost.echo_tokens == cost.echo_parameters == 0
    assert cost.flops == pytest.approx((4 * cost.base_parameters + 6 * cost.adapter_parameters) * cost.tokens)
    assert (cost.steps, cost.samples) == (6, 48)


def test_an_echo_pass_costs_its_suffix_in_the_expected_share_of_steps(protocol: StudyProtocol) -> None:
    lora, echo = protocol.planned("tiny", "lora").cost, protocol.planned("tiny", "echo").cost
    assert echo.adapter_parameters == lora.adapter_parameters
    assert echo.echo_parameters > 0
    assert 0 < echo.echo_tokens < 0.6 * echo.tokens / 2
    assert protocol.planned("tiny", "alone").cost.echo_parameters == 0


def test_a_matched_arm_computes_as_much_as_its_target_to_within_a_step(protocol: StudyProtocol) -> None:
    matched, echo = protocol.planned("tiny", "matched").cost, protocol.planned("tiny", "echo").cost
    assert echo.flops <= matched.flops < echo.flops + 1.5 * matched.flops / matched.steps
    twice = protocol.planned("tiny", "matched_twice")
    assert twice.cost.steps == twice.config["training"]["max_steps"] == 10  # 6 steps and 0.6 of them again


def test_a_teacher_of_averaged_weights_costs_a_forward_pass_over_whole_samples(make_study: Any) -> None:
    every_step = {"content": "none", "routing": {"start": 1, "end": 1}}
    average = {"loss_weight": 0, "distillation": {"teacher": "average"}}
    arms = {
        "twice": {
            "asks": "R-Drop",
            "overrides": {"method": "echo_lora", "echo": every_step | {"implementation": "two_pass"}},
        },
        "average": {"asks": "its teacher", "overrides": {"method": "echo_lora", "echo": every_step | average}},
    }
    contrasts = {"average": {"candidate": "average", "baseline": "twice", "asks": "which?"}}
    protocol = draft_protocol(make_study(arms=arms, analysis={"contrasts": contrasts})).protocol
    twice, once = (protocol.planned("tiny", arm).cost for arm in ("twice", "average"))
    assert twice.echo_tokens == once.echo_tokens == twice.tokens
    assert 1.3 < twice.flops / once.flops < 1.4  # two passes and their gradients, against one and a forward pass
