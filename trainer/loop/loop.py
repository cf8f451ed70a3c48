"""One session of a run: takes steps, logs, evaluates, saves, and stops when asked to without losing a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from rich.console import Console

from schemas.errors import Interrupted
from schemas.run_directory import RunDirectory
from schemas.training.echo_check import EchoCheck
from schemas.training.train_config import TrainConfig
from schemas.training.training_metrics import TrainingMetrics
from trainer.checkpoint.checkpoint import save_checkpoint
from trainer.checkpoint.state import TrainingState
from trainer.data.dataloader import StepBatches, batches_of, pass_tokens, steps_per_epoch, total_steps
from trainer.data.dataset import TrainingData
from trainer.echo.manipulation_check import manipulation_check
from trainer.echo.objective import Objective
from trainer.echo.routing import draw_routes
from trainer.loop.distributed import spread
from trainer.loop.launch import start_trackers
from trainer.loop.metrics import after_step, begin_interval, interval_metrics
from trainer.loop.metrics_log import MetricsLog
from trainer.loop.optimizer import Parts, make_optimizer, restore_tensors, trainable_parameters, training_tensors
from trainer.loop.progress_bar import TrainingBar
from trainer.loop.signals import StopRequest
from trainer.loop.step import Loop, StepReport
from trainer.loop.validation import validation_loss


def begin_session(
    config: TrainConfig,
    run: RunDirectory,
    accelerator: Accelerator,
    objective: Objective,
    data: TrainingData,
    pad_token_id: int,
    state: TrainingState,
) -> Session:
    """The session of a run whose model is loaded: its trackers are open, its optimizer is at the start.

    Args:
        config: the run's config.
        run: its directory.
        accelerator: device and processes.
        objective: the module to train; with `training.sharding: fsdp` its parameters are shards from here on.
        data: what to train and to validate on.
        pad_token_id: fills the padding.
        state: where to go on.
    """
    start_trackers(accelerator, config, run)
    batches, validation = batches_of(
        *(data.train, data.validation, config, pad_token_id),
        processes=accelerator.num_processes,
        rank=accelerator.process_index,
        pass_tokens=pass_tokens(accelerator.device.type, sum(p.numel() for p in objective.parameters())),
    )
    prepared = spread(objective, config, accelerator)
    parts = trainable_parameters(objective)
    total, echo = total_steps(len(data.train), config.training), config.echo_path
    loop = Loop(
        objective=objective,
        prepared=prepared,
        optimizer=make_optimizer(parts, config),
        batches=batches,
        config=config,
        accelerator=accelerator,
        total=total,
        routes=draw_routes(config.seed, total, echo.routing) if echo else None,
    )
    return Session(config, run, accelerator, loop, objective, parts, validation, state)


@dataclass
class Session:
    """Drives a Loop from a state to the last step."""

    config: TrainConfig
    """The run's config."""
    run: RunDirectory
    """Its directory."""
    accelerator: Accelerator
    """Device, processes, trackers."""
    loop: Loop
    """Takes the steps."""
    objective: Objective
    """The module whose parameters are trained, as it is without DDP's wrapper."""
    parts: Parts
    """Its trainable parameters."""
    validation: StepBatches | None
    """Cuts the validation examples into batches; None without any."""
    state: TrainingState
    """Progress so far."""
    saved: int = -1
    """Step of the newest checkpoint; -1 without one."""

    def restore(self, tensors: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """Puts a checkpoint's tensors back: parameters and moments are then those of `state`."""
        restore_tensors(self.parts, self.loop.optimizer, tensors)
        self.objective.restore(tensors.get("running", {}))
        self.saved = self.state.step

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
                self.state = after_step(self.state, report)
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

    def echo_check(self) -> EchoCheck | None:
        """Whether the echo was there, on the validation rows; None where there is no echo, no row, or only shards."""
        if self.validation is None or self.config.training.sharding == "fsdp":
            return None
        return manipulation_check(self.objective, self.validation, self.accelerator)

    def save(self) -> None:
        """Writes a checkpoint of the current state, unless that was just done."""
        if self.saved == self.state.step:
            return
        tensors = training_tensors(self.parts, self.loop.optimizer)
        if running := self.objective.running_tensors():
            tensors["running"] = {name: value.cpu() for name, value in running.items()}
        if self.accelerator.is_main_process:
            save_checkpoint(self.run.checkpoints, self.state, tensors, keep=self.config.training.keep_checkpoints)
        self.saved = self.state.step

    def _metrics(self, report: StepReport) -> TrainingMetrics | None:
        """The line of this step, where one is due: interval means, validation loss, or both."""
        last = self.state.step == self.loop.total
        epoch = self.state.step / steps_per_epoch(len(self.loop.batches.examples), self.config.training.batch_size)
        metrics = None
        if last or self._due(self.config.training.log_every):
            metrics = interval_metrics(self.state, report, epoch)
            self.state = begin_interval(self.state, metrics)
        if self.validation and (last or self._due(self.config.training.eval_every)):
            loss = validation_loss(self.objective, self.validation, self.accelerator)
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
