"""The optimisation: one optimizer step after another, and nothing that is not a function of (seed, step).

A step's loss is the sum over all its supervised tokens, over micro-batches and processes, divided by their number, so
that 1 x 16, 4 x 4 and two processes of 8 take the same step (docs/method.md, trap 4).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from schemas.errors import Diverged
from schemas.training.train_config import TrainConfig
from trainer.data.dataloader import StepBatches
from trainer.echo.objective import Objective
from trainer.echo.routing import Route
from trainer.loop.lr_schedule import rate_factor


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step showed; sums are over the step's supervised tokens, in nats."""

    step: int
    echo_on: bool
    echo_probability: float | None
    loss: float
    echo_loss: float
    distillation_loss: float
    tokens: int
    supervised_tokens: int
    learning_rate: float
    gradient_norm: float
    seconds: float


@dataclass(frozen=True)
class Loop:
    """Takes optimizer steps."""

    objective: Objective
    """The module that is trained."""
    prepared: torch.nn.Module
    """The same as spread over the processes; this is what is called."""
    optimizer: torch.optim.Optimizer
    """AdamW over its trainable parameters; each group's `peak` is its peak learning rate."""
    batches: StepBatches
    """Cuts steps into micro-batches."""
    config: TrainConfig
    """The run's config."""
    accelerator: Accelerator
    """Device and processes."""
    total: int
    """Optimizer steps of the whole run."""
    routes: Sequence[Route] | None = None
    """The route of each of them; None for the methods without an echo."""

    def steps(self, first: int) -> Iterator[StepReport]:
        """Takes the steps from `first` (counted from 0) to the last, one per iteration.

        Raises:
            Diverged: the loss or the gradient is not finite; the weights are then those of the step before.
        """
        for step in range(first, self.total):
            yield self.take(step)

    def take(self, step: int) -> StepReport:
        """One optimizer step."""
        started = time.perf_counter()
        probability, echo_on = self.routes[step] if self.routes is not None else (None, False)
        samples = self.batches.samples(step)
        tokens, supervised = self.batches.tokens(samples)
        factor = rate_factor(step, self.total, self.config.training)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        sums = self._accumulate(step, samples, echo_on=echo_on, supervised=supervised)
        self.objective.release_idle_gradients(echo_on)
        norm = self._clip()
        loss, echo_loss, distillation_loss = self.accelerator.reduce(sums, reduction="sum").tolist()
        _require_finite(step, loss + echo_loss + distillation_loss, norm)
        self.optimizer.step()
        self.objective.end_step(echo_on=echo_on, reduce=partial(self.accelerator.reduce, reduction="sum"))
        self.optimizer.zero_grad(set_to_none=True)
        return StepReport(
            step=step,
            echo_on=echo_on,
            echo_probability=probability,
            loss=loss,
            echo_loss=echo_loss,
            distillation_loss=distillation_loss,
            tokens=tokens,
            supervised_tokens=supervised,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            gradient_norm=norm,
            seconds=time.perf_counter() - started,
        )

    def _accumulate(self, step: int, samples: list[int], *, echo_on: bool, supervised: int) -> torch.Tensor:
        """Forward and backward over this process's micro-batches; returns its [3] loss sums."""
        device = self.accelerator.device
        sums = torch.zeros(3, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        batches = list(self.batches.batches(samples))
        seed_dropout(self.config.seed, step, self.batches.rank)
        for number, batch in enumerate(batches, start=1):
            with synchronised(self.prepared, self.accelerator, last=number == len(batches)):
                with autocast(self.config.training.autocast, device):
                    losses = self.prepared(batch.to(device), echo_on=echo_on, supervised_tokens=supervised)
                self.accelerator.backward(losses.total * self.batches.processes)
            parts = (losses.plain, losses.echo, losses.distillation)
            sums += torch.stack([torch.as_tensor(0.0 if part is None else part, device=device) for part in parts])
        return sums

    def _clip(self) -> float:
        """Scales the gradients down to the configured norm and returns the norm before."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.training.max_grad_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


@contextlib.contextmanager
def synchronised(module: torch.nn.Module, accelerator: Accelerator, *, last: bool) -> Iterator[None]:
    """Lets gradients travel between processes only with a step's last micro-batch."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
        yield
    elif last:
        yield
    else:
        with accelerator.no_sync(module):
            yield


def autocast(kind: Literal["none", "bfloat16"], device: torch.device) -> torch.autocast:
    """Mixed precision of the forward pass, where the config asks for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=kind == "bfloat16")


def seed_dropout(seed: int, step: int, rank: int) -> None:
    """Random numbers of a step depend on (seed, step, process) alone: there is no generator state to save or lose."""
    torch.manual_seed(((seed << 31) + step * 4096 + rank) % 2**63)


def _require_finite(step: int, loss: float, norm: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise Diverged(
        f"the loss or its gradient is not finite at step {step + 1} (loss {loss}, gradient norm {norm}); "
        "the weights were left as they were before it",
        where="training",
        fix="lower training.learning_rate, or use bfloat16 instead of float16; the last checkpoint is good",
    )
