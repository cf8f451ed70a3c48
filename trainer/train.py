"""The story of a training run, from a config to an exported adapter."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import transformers
from accelerate import Accelerator
from rich.console import Console

from schemas.find_base import BaseModelFiles, find_base
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import TrainingRecord
from schemas.training.train_config import TrainConfig
from trainer.checkpoint.provenance import device_name, identity_of
from trainer.checkpoint.resume import refuse_other_inputs, where_to_start
from trainer.checkpoint.run_lock import sole_session
from trainer.checkpoint.state import TrainingState
from trainer.config_file import write_config
from trainer.data.dataloader import StepBatches
from trainer.data.dataset import TrainingData, load_training_data
from trainer.data.sampler import total_steps
from trainer.echo.objective import Objective, build_objective
from trainer.export.export import Export, export_adapter
from trainer.loop.distributed import loading_device, spread, whole_model
from trainer.loop.launch import decided_by_first, launch, start_trackers
from trainer.loop.loop import Session
from trainer.loop.optimizer import make_optimizer, restore_tensors, trainable_parameters
from trainer.loop.step import Loop
from trainer.model.base_model import check_fit, load_base, load_tokenizer, skeleton
from trainer.model.peft_adapter import attach_adapter
from trainer.plan.hardware import refuse_shortages
from trainer.plan.memory_estimate import footprint


def train(config: TrainConfig, console: Console, *, overwrite: bool = False) -> RunDirectory:
    """Trains one adapter and exports it; goes on where an earlier session of the same config stopped.

    Args:
        config: the run.
        console: where to report.
        overwrite: forget what the run directory holds.

    Raises:
        UserError: config, data, base model or an earlier run do not allow it.
        Diverged: the loss is not finite; the last checkpoint is good.
        Interrupted: stopped by a signal, with a checkpoint saved.
    """
    run = RunDirectory(Path(config.runs) / config.name)
    accelerator = launch(config, run)
    transformers.utils.logging.disable_progress_bar()
    console.quiet = console.quiet or not accelerator.is_main_process
    with sole_session(run) if accelerator.is_main_process else nullcontext():
        _train(config, run, accelerator, console, overwrite=overwrite)
    return run


def _train(
    config: TrainConfig, run: RunDirectory, accelerator: Accelerator, console: Console, *, overwrite: bool
) -> None:
    start = decided_by_first(accelerator, lambda: where_to_start(run, config, overwrite=overwrite))
    for note in start.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if start.complete:
        console.print(f"{run.adapter} is complete and of this config; nothing to do (--overwrite trains it anew)")
        return

    files = find_base(config.base.model, config.base.revision)
    check_fit(skeleton(files.directory, trust_remote_code=config.base.trust_remote_code), config)
    tokenizer = load_tokenizer(files, trust_remote_code=config.base.trust_remote_code)
    data = load_training_data(config, tokenizer, quiet=console.quiet)
    state = TrainingState(identity=identity_of(config, files, data.sources))
    if start.checkpoint:
        refuse_other_inputs(start.checkpoint.record.state.identity, state.identity, start.checkpoint.path)
        state = start.checkpoint.record.state
    _refuse_shortages(config, files, data, processes=accelerator.num_processes)

    if accelerator.is_main_process:
        write_config(config, run.config)
    start_trackers(accelerator, config)
    with console.status(f"Loading {config.base.model}"):
        device = loading_device(config, accelerator)
        model = attach_adapter(load_base(files, config.base, device), config)
    objective = build_objective(model, config)
    session = _session(config, run, accelerator, objective, data, tokenizer.pad_token_id, state)
    if start.checkpoint:
        restore_tensors(session.parts, session.loop.optimizer, start.checkpoint.tensors)
        session.saved = state.step
    _announce(console, session, data)
    state = session.run_to_end(None if console.quiet else console)

    trained = whole_model(objective, config, files, accelerator)
    if trained is not None:
        echo_parameters = sum(parameter.numel() for parameter in session.parts.get("echo", {}).values())
        training = _training_record(state, accelerator)
        with console.status("Exporting and proving the adapter"):
            export = Export(config, files, tokenizer, data, training, echo_parameters)
            export_adapter(trained, run.adapter, export)
        console.print(f"adapter: {run.adapter}", highlight=False, soft_wrap=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def _refuse_shortages(config: TrainConfig, files: BaseModelFiles, data: TrainingData, *, processes: int) -> None:
    base = skeleton(files.directory, trust_remote_code=config.base.trust_remote_code)
    micro_batch = config.training.micro_batch_size or -(-config.training.batch_size // processes)
    refuse_shortages(config, footprint(base, config, micro_batch=micro_batch, tokens=max(map(len, data.train))))


def _session(
    config: TrainConfig,
    run: RunDirectory,
    accelerator: Accelerator,
    objective: Objective,
    data: TrainingData,
    pad_token_id: int,
    state: TrainingState,
) -> Session:
    processes, rank = accelerator.num_processes, accelerator.process_index
    batches = StepBatches(data.train, config, pad_token_id, processes, rank)
    held_out = StepBatches(data.validation, config, pad_token_id, processes, rank) if data.validation else None
    prepared = spread(objective, config, accelerator)
    parts = trainable_parameters(objective)
    loop = Loop(
        objective=objective,
        prepared=prepared,
        optimizer=make_optimizer(parts, config),
        batches=batches,
        config=config,
        accelerator=accelerator,
        total=total_steps(len(data.train), config.training),
    )
    return Session(config, run, accelerator, loop, objective, parts, held_out, state)


def _announce(console: Console, session: Session, data: TrainingData) -> None:
    """One line of what is about to happen, and one of what was left out."""
    counts = {part: sum(p.numel() for p in named.values()) for part, named in session.parts.items()}
    sizes = ", ".join(f"{count:,} {part} parameters" for part, count in counts.items())
    console.print(
        f"{session.config.method}: {sizes}; {len(data.train):,} examples, {session.loop.total:,} optimizer steps on "
        f"{device_name(session.accelerator.device)}",
        highlight=False,
    )
    for reason, count in data.dropped.items():
        console.print(f"left out {count:,} examples: {reason.replace('_', ' ')}", highlight=False, soft_wrap=True)


def _training_record(state: TrainingState, accelerator: Accelerator) -> TrainingRecord:
    return TrainingRecord(
        steps=state.step,
        echo_steps=state.echo_steps,
        train_loss=state.last_loss,
        validation_loss=state.validation_loss,
        seconds=state.seconds,
        device=device_name(accelerator.device),
        processes=accelerator.num_processes,
    )
