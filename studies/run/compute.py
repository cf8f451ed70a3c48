"""Counted training compute of an arm (see `TrainingCost`), and the steps that give one arm another's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from schemas.base.hub import go_offline_if_unreachable
from schemas.errors import UserError
from schemas.studies.study_config import Expense
from schemas.studies.study_plan import TrainingCost
from schemas.training.echo_config import EchoConfig
from schemas.training.train_config import TrainConfig
from trainer.data.dataloader import steps_per_epoch, total_steps
from trainer.data.dataset import load_training_data
from trainer.plan.memory_estimate import Footprint
from trainer.plan.plan import known_rows, tokenizer_of


@dataclass(frozen=True)
class Samples:
    """The training data of an arm, as far as compute goes."""

    count: int
    """Samples of an epoch."""
    tokens: float
    """Mean tokens of a sample that pass through the model; the last is only predicted."""
    suffix: float
    """Of them, those from the boundary on, which an echo pass with a shared prefix repeats."""
    longest: int
    """Tokens of the longest sample."""
    measured: bool
    """Whether the data were read."""


def measure_samples(config: TrainConfig, expense: Expense | None) -> Samples:
    """Reads and tokenises the data; where they are not here, takes the study's expectation and the known row counts.

    Raises:
        UserError: neither is to be had.
    """
    if not Path(config.base.model).is_dir():
        go_offline_if_unreachable()
    try:
        examples = load_training_data(config, tokenizer_of(config), quiet=True).train
    except UserError:
        rows = known_rows(config)
        if rows is None or expense is None or not expense.tokens_per_sample or not expense.answer_tokens_per_sample:
            raise
        count = rows - config.data.validation_rows
        tokens, suffix = expense.tokens_per_sample, expense.answer_tokens_per_sample
        return Samples(count, tokens, suffix, config.data.max_length, measured=False)
    tokens = sum(len(example) - 1 for example in examples) / len(examples)
    suffix = sum(len(example) - 1 - example.boundary for example in examples) / len(examples)
    return Samples(len(examples), tokens, suffix, max(map(len, examples)), measured=True)


def training_cost(config: TrainConfig, samples: Samples, base_parameters: int, needs: Footprint) -> TrainingCost:
    """What one run of the config computes."""
    steps = total_steps(samples.count, config.training)
    epochs, rest = divmod(steps, steps_per_epoch(samples.count, config.training.batch_size))
    seen = epochs * samples.count + min(rest * config.training.batch_size, samples.count)
    echoed = seen * echo_share(config.echo_path)
    tokens, echo_tokens = seen * samples.tokens, echoed * _repeated(config, samples)
    per_token = 4 * base_parameters + 6 * needs.adapter_parameters
    averaged = config.echo_path is not None and config.echo_path.second_pass_is_average
    again = 2 * (base_parameters + needs.adapter_parameters) if averaged else per_token  # a pass without gradients
    return TrainingCost(
        steps=steps,
        samples=seen,
        tokens=tokens,
        echo_tokens=echo_tokens,
        base_parameters=base_parameters,
        adapter_parameters=needs.adapter_parameters,
        echo_parameters=needs.echo_parameters,
        flops=per_token * tokens + again * echo_tokens + 6 * needs.echo_parameters * echoed,
    )


def echo_share(echo: EchoConfig | None) -> float:
    """Expected share of steps that run the echo path: the mean of p, which is linear over the run."""
    if echo is None or not echo.enters_loss:
        return 0.0
    return (echo.routing.start + echo.routing.end) / 2


def _repeated(config: TrainConfig, samples: Samples) -> float:
    """Tokens of a sample that its echo pass runs again."""
    echo = config.echo_path
    shares = (
        echo is not None
        and echo.implementation == "shared_prefix"
        and echo.positions == "answers"
        and not echo.second_pass_is_average
        and config.base.attention == "sdpa"
    )
    return samples.suffix if shares else samples.tokens


def matched_steps(cost: TrainingCost, flops: float) -> int:
    """Steps with which an arm of this cost computes that much."""
    return math.ceil(cost.steps * flops / cost.flops)
