"""Which samples an optimizer step sees, and how they are cut into micro-batches for each process.

Which samples is a pure function of (seed, step), so that nothing needs saving to resume. How they are laid out in
micro-batches may depend on their lengths and on the number of processes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from schemas.training.train_config import TrainConfig, TrainingConfig
from trainer.data.batch import Batch, collate, filler
from trainer.data.micro_batches import micro_batches
from trainer.data.tokenization import Example


@dataclass
class StepBatches:
    """Cuts steps into micro-batches."""

    examples: Sequence[Example]
    """The training examples, or the validation examples."""
    config: TrainConfig
    """The run's config."""
    pad_token_id: int
    """Fills the padding; masked everywhere."""
    processes: int = 1
    """Of the launch."""
    rank: int = 0
    """This process among them."""
    pass_tokens: int = 32
    """What a forward and backward pass costs besides its tokens, in tokens; see `pass_tokens`."""
    lengths: list[int] = field(init=False)
    """Tokens of each example."""
    supervised: list[int] = field(init=False)
    """Of them, under the loss."""

    def __post_init__(self) -> None:
        self.lengths = [len(example) for example in self.examples]
        self.supervised = [example.supervised_tokens(self._loss_on) for example in self.examples]

    @property
    def most(self) -> int:
        """Most samples per forward pass of one process."""
        training = self.config.training
        return training.micro_batch_size or max(1, -(-training.batch_size // self.processes))

    def samples(self, step: int) -> list[int]:
        """The step's samples, over all processes."""
        config = self.config
        return step_samples(step, samples=len(self.examples), batch_size=config.training.batch_size, seed=config.seed)

    def batches(self, samples: Sequence[int]) -> Iterator[Batch]:
        """This process's micro-batches of some samples; as many as every other process has."""
        parts = micro_batches(
            samples,
            self.lengths,
            most=self.most,
            pass_tokens=self.pass_tokens,
            processes=self.processes,
            rank=self.rank,
            by_length=self.config.training.group_by_length,
            in_company=self._in_company,
        )
        for part in parts:
            yield self._batch(part)

    def _batch(self, part: Sequence[int]) -> Batch:
        if not part:
            return filler(self.examples[0], pad_token_id=self.pad_token_id)
        chosen = [self.examples[sample] for sample in part]
        return collate(chosen, pad_token_id=self.pad_token_id, loss_on=self._loss_on)

    def tokens(self, samples: Sequence[int]) -> tuple[int, int]:
        """Real and supervised tokens of some samples."""
        return sum(self.lengths[sample] for sample in samples), sum(self.supervised[sample] for sample in samples)

    @property
    def _in_company(self) -> bool:
        """Whether samples are given each other's echo: `content: shuffled` in training, the manipulation check in all echo runs."""
        return self.config.echo_path is not None

    @property
    def _loss_on(self) -> Literal["answers", "all"]:
        return self.config.data.loss_on


def batches_of(
    train: Sequence[Example],
    validation: Sequence[Example],
    config: TrainConfig,
    pad_token_id: int,
    *,
    processes: int,
    rank: int,
    pass_tokens: int,
) -> tuple[StepBatches, StepBatches | None]:
    """A run's training and validation batches for one process; None without validation examples."""
    batches, held = (
        StepBatches(one, config, pad_token_id, processes, rank, pass_tokens) for one in (train, validation)
    )
    return batches, held if validation else None


def pass_tokens(device: str, parameters: int) -> int:
    """What a forward and backward pass costs besides its tokens, in tokens.

    On a CPU it reads the weights once more, whatever their size: about 30 tokens' time. On a GPU it launches thousands of
    kernels, some 20 ms in which an H100 computes 250 tokens of an 8B model (estimated, not measured), and more of a smaller one.

    Args:
        device: the type of the training device, `cpu` or `cuda`.
        parameters: of the model.
    """
    return 32 if device == "cpu" else max(64, 2 * 10**12 // parameters)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps of one pass over the data; the last may be smaller."""
    return math.ceil(samples / batch_size)


def total_steps(samples: int, training: TrainingConfig) -> int:
    """Optimizer steps of the whole run."""
    if training.max_steps is not None:
        return training.max_steps
    return math.ceil(training.epochs * steps_per_epoch(samples, training.batch_size))


def step_samples(step: int, *, samples: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the samples of optimizer step `step` (from 0)."""
    epoch, index = divmod(step, steps_per_epoch(samples, batch_size))
    return list(_permutation(samples, seed, epoch)[index * batch_size : (index + 1) * batch_size])


@lru_cache(maxsize=2)
def _permutation(samples: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(samples))
    random.Random(f"order-{seed}-{epoch}").shuffle(order)  # noqa: S311 not for secrets
    return tuple(order)
