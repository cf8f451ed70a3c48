"""The micro-batches of an optimizer step, for one process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.training.train_config import TrainConfig
from trainer.data.batch import Batch
from trainer.data.collator import collate, filler
from trainer.data.sampler import micro_batches, step_samples
from trainer.data.tokenization import Example


@dataclass(frozen=True)
class StepBatches:
    """Cuts steps into micro-batches.

    Attributes:
        examples: the training examples.
        config: the run's config.
        pad_token_id: fills the padding; masked everywhere.
        processes, rank: of the launch.
    """

    examples: Sequence[Example]
    config: TrainConfig
    pad_token_id: int
    processes: int = 1
    rank: int = 0

    @property
    def micro_batch_size(self) -> int:
        """Samples per forward pass of one process."""
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
            lambda sample: len(self.examples[sample]),
            size=self.micro_batch_size,
            processes=self.processes,
            rank=self.rank,
            by_length=self.config.training.group_by_length,
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
        chosen = [self.examples[sample] for sample in samples]
        return sum(map(len, chosen)), sum(example.supervised_tokens(self._loss_on) for example in chosen)

    @property
    def _loss_on(self) -> Literal["answers", "all"]:
        return self.config.data.loss_on
