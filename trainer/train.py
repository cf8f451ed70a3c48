"""The story of a training run, from a config to an exported adapter."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import transformers
from accelerate import Accelerator
from rich.console import Console

from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import TrainingRecord
from schemas.training.echo_check import EchoCheck
from schemas.training.train_config import TrainConfig
from trainer.checkpoint.overwrite import take_place
from trainer.checkpoint.own_files import refuse_unwritable
from trainer.checkpoint.provenance import device_name, identity_of
from trainer.checkpoint.resume import where_to_start
from trainer.checkpoint.run_lock import sole_session
from trainer.checkpoint.state import TrainingState
from trainer.config_file import write_config
from trainer.data.dataloader import total_steps
from trainer.data.dataset import TrainingData, load_training_data
from trainer.echo.manipulation_check import echo_line
from trainer.echo.objective import build_objective
from trainer.echo.reading import NO_EDGES, Edges, common_edges
from trainer.export.export import Export, export_adapter
from trainer.loop.distributed import end, loading_device, whole_model
from trainer.loop.launch import decided_by_first, launch
from trainer.loop.loop import Session, begin_session
from trainer.model.base_model import read_base
from trainer.model.peft_adapter import load_with_adapter
from trainer.plan.notes import notes_before_training


def train(config: TrainConfig, console: Console, *, overwrite: bool = False) -> RunDirectory:
    """Trains one adapter and exports it; goes on where an earlier session of the same config stopped.

    Args:
        config: the run.
        console: where to report.
        overwrite: train anew beside the run that the directory holds, and replace that one when the new adapter stands.

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
    # What is there already decides whether to begin, to go on, or to do nothing.
    start = decided_by_first(accelerator, lambda: where_to_start(run, config, overwrite=overwrite))
    for note in start.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if start.complete:
        console.print(f"{run.adapter} is complete and of this config; nothing to do (--overwrite trains it anew)")
        return

    # All that can be wrong is found before the weights are read.
    decided_by_first(accelerator, lambda: refuse_unwritable(run))
    base = read_base(config)
    with accelerator.local_main_process_first():  # the host's others find the tokens that it keeps
        data = load_training_data(
            config, base.tokenizer, window=base.window, vocabulary=base.shape.vocabulary, quiet=console.quiet
        )
    identity = identity_of(config.model_dump(mode="json"), base.files, data.sources)
    start = start.with_inputs(identity)
    state = start.state_of(identity)
    total, processes = total_steps(len(data.train), config.training), accelerator.num_processes
    notes = notes_before_training(config, base.shape, total=total, window=base.window, processes=processes)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    if accelerator.is_main_process:
        write_config(config, start.run.config)

    # The model, its adapter, the method's loss, and the session that lowers it.
    with console.status(f"Loading {config.base.model}"):
        model = load_with_adapter(base.files, config, loading_device(config.training.sharding, accelerator))
    objective = build_objective(model, config, _edges(config, data))
    session = begin_session(config, start.run, accelerator, objective, data, base.tokenizer.pad_token_id, state)
    if start.checkpoint:
        session.restore(start.checkpoint.tensors)
    _announce(console, session, data)
    state = session.run_to_end(None if console.quiet else console)
    check = session.echo_check()
    if check is not None:
        console.print(echo_line(check), highlight=False, soft_wrap=True)

    # The adapter leaves as PEFT's own files, proven to be what was trained.
    trained = whole_model(objective, accelerator, lambda device: load_with_adapter(base.files, config, device))
    if trained is not None:
        echo_parameters = sum(parameter.numel() for parameter in session.parts.get("echo", {}).values())
        training = _training_record(config, state, accelerator, check)
        with console.status("Exporting and proving the adapter"):
            export = Export(config, base.files, base.tokenizer, data, training, echo_parameters, base.shape.depth)
            export_adapter(trained, start.run.adapter, export)
            if start.run != run:
                take_place(start.run, run)
        for line in (*notes, f"adapter: {run.adapter}"):  # again, where people look
            console.print(line, highlight=False, soft_wrap=True)
    end(accelerator)


def _edges(config: TrainConfig, data: TrainingData) -> Edges:
    """What the training prompts share at their ends, where the echo's pooling asks for it."""
    if config.echo_path is None or config.echo_path.pooling != "question":
        return NO_EDGES
    return common_edges([one.input_ids[: one.boundary + 1] for one in data.train])


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


def _training_record(
    config: TrainConfig, state: TrainingState, accelerator: Accelerator, check: EchoCheck | None
) -> TrainingRecord:
    return TrainingRecord(
        steps=state.step,
        echo_steps=state.echo_steps,
        train_loss=state.last_loss,
        validation_loss=state.validation_loss,
        seconds=state.seconds,
        device=device_name(accelerator.device),
        processes=accelerator.num_processes,
        echo=check,
        study_control=config.echo_path is not None and config.echo_path.content == "oracle",
    )
