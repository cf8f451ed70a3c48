"""The optimisation: one optimizer step after another, and nothing that is not a function of (seed, step).

A step's loss is the sum over all its supervised tokens, over micro-batches and processes, divided by their number, so
that 1 x 16, 4 x 4 and two processes of 8 take the same step (docs/method.md, trap 4).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from schemas.errors import Diverged
from schemas.training.train_config import TrainConfig
from trainer.data.batch import Batch
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


class LaidOut(NamedTuple):
    """An optimizer step before it is taken."""

    step: int
    batches: Sequence[Batch]
    """This process's micro-batches."""
    tokens: int
    """Real tokens of all processes."""
    supervised: int
    """Of them, under the loss."""


class Taken(NamedTuple):
    """An optimizer step whose numbers may still be on their way from the device."""

    of: LaidOut
    learning_rate: float
    numbers: OnItsWay
    """[4]: the three sums of StepReport, and the gradient's norm."""


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

        A step is reported when the device already works on the next one's gradient, so that it never waits for the host;
        the weights are those of the reported step until the iteration goes on. A thread lays out the step after.

        Raises:
            Diverged: the loss or the gradient is not finite; the weights are then those of the step before.
        """
        return self._take(range(first, self.total))

    def take(self, step: int) -> StepReport:
        """One optimizer step, to its end."""
        (report,) = self._take([step])
        return report

    def _take(self, steps: Sequence[int]) -> Iterator[StepReport]:
        taken, started = None, time.perf_counter()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="collate") as thread:
            laid_out = [thread.submit(self._lay_out, step) for step in steps[:1]]
            for index in range(len(steps)):
                ready = laid_out.pop().result()
                laid_out += [thread.submit(self._lay_out, after) for after in steps[index + 1 : index + 2]]
                sums = self._accumulate(ready)
                if taken is not None:
                    yield self._report(taken, started)
                    started = time.perf_counter()
                taken = self._update(ready, sums)
            if taken is not None:
                yield self._report(taken, started)

    def _lay_out(self, step: int) -> LaidOut:
        samples = self.batches.samples(step)
        return LaidOut(step, list(self.batches.batches(samples)), *self.batches.tokens(samples))

    def _accumulate(self, of: LaidOut) -> torch.Tensor:
        """Forward and backward over this process's micro-batches; returns its [3] loss sums."""
        device, (_, echo_on) = self.accelerator.device, self._route(of.step)
        zero = torch.zeros((), device=device)
        sums = torch.zeros(3, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        seed_dropout(self.config.seed, of.step, self.batches.rank)
        for number, batch in enumerate(of.batches, start=1):
            with synchronised(self.prepared, self.accelerator, last=number == len(of.batches)):
                with autocast(self.config.training.autocast, device):
                    losses = self.prepared(batch.to(device), echo_on=echo_on, supervised_tokens=of.supervised)
                self.accelerator.backward(losses.total * self.batches.processes)
            parts = (losses.plain, losses.echo, losses.distillation)
            sums += torch.stack([zero if part is None else part for part in parts])
        return sums

    def _update(self, of: LaidOut, sums: torch.Tensor) -> Taken:
        """Takes the optimizer's step, unless the loss or the gradient is not finite; then it leaves all as it is."""
        _, echo_on = self._route(of.step)
        self.objective.release_idle_gradients(echo_on)
        norm = self._clip()
        numbers = torch.cat([self.accelerator.reduce(sums, reduction="sum"), norm.to(sums.dtype)[None]])
        factor = rate_factor(of.step, self.total, self.config.training)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        _skip_unless_finite(self.optimizer, numbers)
        self.optimizer.step()
        self.objective.end_step(echo_on=echo_on, reduce=partial(self.accelerator.reduce, reduction="sum"))
        self.optimizer.zero_grad(set_to_none=True)
        return Taken(of, self.optimizer.param_groups[0]["lr"], OnItsWay(numbers))

    def _clip(self) -> torch.Tensor:
        """Scales the gradients down to the configured norm and returns the norm before."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.training.max_grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _report(self, taken: Taken, started: float) -> StepReport:
        loss, echo_loss, distillation_loss, norm = taken.numbers.here()
        _require_finite(taken.of.step, loss + echo_loss + distillation_loss, norm)
        probability, echo_on = self._route(taken.of.step)
        return StepReport(
            step=taken.of.step,
            echo_on=echo_on,
            echo_probability=probability,
            loss=loss,
            echo_loss=echo_loss,
            distillation_loss=distillation_loss,
            tokens=taken.of.tokens,
            supervised_tokens=taken.of.supervised,
            learning_rate=taken.learning_rate,
            gradient_norm=norm,
            seconds=time.perf_counter() - started,
        )

    def _route(self, step: int) -> tuple[float | None, bool]:
        return self.routes[step] if self.routes is not None else (None, False)


class OnItsWay:
    """A tensor that is being copied to the host behind the device's work, without the host waiting for it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._copy = tensor.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if tensor.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if self._arrived is not None:
            self._arrived.record()

    def here(self) -> list[float]:
        """Its numbers, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[float] = self._copy.tolist()
        return numbers


def _skip_unless_finite(optimizer: torch.optim.Optimizer, numbers: torch.Tensor) -> None:
    """Tells AdamW's kernel on the device itself to leave weights and moments alone where a number is not finite.

    The way of gradient scalers. Shards (FSDP) do not take it: with them the host waits and looks.
    """
    if any(isinstance(parameter, DTensor) for group in optimizer.param_groups for parameter in group["params"][:1]):
        found = float(numbers.sum())
        if not math.isfinite(found):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
        return
    vars(optimizer)["found_inf"] = (~torch.isfinite(numbers).all()).float()


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
