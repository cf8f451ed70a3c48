"""One session of a run: takes steps, logs, evaluates, saves, and stops when asked to without losing a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from rich.console import Console

from schemas.errors import Interrupted
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from schemas.training.training_metrics import TrainingMetrics
from trainer.checkpoint.checkpoint import save_checkpoint
from trainer.checkpoint.state import TrainingState
from trainer.data.dataloader import StepBatches
from trainer.data.sampler import steps_per_epoch
from trainer.echo.objective import Objective
from trainer.loop.metrics import advance, begin_interval, interval_metrics
from trainer.loop.metrics_log import MetricsLog
from trainer.loop.optimizer import Parts, training_tensors
from trainer.loop.progress_bar import TrainingBar
from trainer.loop.signals import StopRequest
from trainer.loop.step import Loop, StepReport
from trainer.loop.validation import evaluation_loss


@dataclass
class Session:
    """Drives a Loop from a state to the last step.

    Attributes:
        config: the run's config.
        run: its directory.
        accelerator: device, processes, trackers.
        loop: takes the steps.
        objective: the module whose parameters are trained, as it is without DDP's wrapper.
        parts: its trainable parameters.
        held_out: cuts the held-out examples into batches; None without any.
        state: progress so far.
        saved: step of the newest checkpoint; -1 without one.
    """

    config: TrainConfig
    run: RunDirectory
    accelerator: Accelerator
    loop: Loop
    objective: Objective
    parts: Parts
    held_out: StepBatches | None
    state: TrainingState
    saved: int = -1

    def run_to_end(self, console: Console | None) -> TrainingState:
        """Takes the remaining steps.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; a checkpoint of the last finished step is on the disk.
            Diverged: the loss is not finite.
        """
        log = MetricsLog(self.run.metrics, self.state.step) if self.accelerator.is_main_process else None
        self.objective.train()
        bar = TrainingBar(console, self.config.name, self.state.step, self.loop.total)
        with StopRequest() as stop, bar:
            for report in self.loop.steps(self.state.step):
                self.state = advance(self.state, report)
                bar.step(report, self.state.step, self.state.echo_steps)
                metrics = self._metrics(report)
                if metrics and log:
                    log.append(metrics)
                    bar.line(metrics)
                if self._due(self.config.training.save_every) or self.state.step == self.loop.total:
                    self.save()
                exit_code = self._agreed(stop.exit_code)
                if exit_code is not None and self.state.step < self.loop.total:
                    self.save()
                    raise Interrupted(self._kept(), exit_code=exit_code)
        return self.state

    def save(self) -> None:
        """Writes a checkpoint of the current state, unless that was just done."""
        if self.saved == self.state.step:
            return
        tensors = training_tensors(self.parts, self.loop.optimizer)
        if self.accelerator.is_main_process:
            save_checkpoint(self.run.checkpoints, self.state, tensors, keep=self.config.training.keep_checkpoints)
        self.saved = self.state.step

    def _metrics(self, report: StepReport) -> TrainingMetrics | None:
        """The line of this step, where one is due: interval means, held-out loss, or both."""
        last = self.state.step == self.loop.total
        epoch = self.state.step / steps_per_epoch(len(self.loop.batches.examples), self.config.training.batch_size)
        metrics = None
        if last or self._due(self.config.training.log_every):
            metrics = interval_metrics(self.state, report, epoch)
            self.state = begin_interval(self.state, metrics)
        if self.held_out and (last or self._due(self.config.training.eval_every)):
            loss = evaluation_loss(self.objective, self.held_out, self.accelerator)
            metrics = metrics or TrainingMetrics(step=self.state.step, epoch=epoch, seconds=self.state.seconds)
            metrics = metrics.model_copy(update={"validation_loss": loss})
            self.state = self.state.model_copy(update={"validation_loss": loss})
        if metrics:
            self.accelerator.log(metrics.model_dump(exclude_none=True, exclude={"step"}), step=metrics.step)
        return metrics

    def _due(self, every: int | None) -> bool:
        return every is not None and self.state.step % every == 0

    def _agreed(self, exit_code: int | None) -> int | None:
        """All processes stop at the same step, whichever of them was told to."""
        if self.accelerator.num_processes == 1:
            return exit_code
        told = torch.tensor(exit_code or 0, device=self.accelerator.device)
        torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
        return int(told) or None

    def _kept(self) -> str:
        return (
            f"\nstopped after step {self.state.step} of {self.loop.total}; all of it is in "
            f"{self.run.checkpoints / f'step-{self.state.step:08d}'}\nrun the same command again to go on from there"
        )
