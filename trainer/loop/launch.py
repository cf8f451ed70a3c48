"""Starts accelerate: the device, the processes, the trackers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import ProjectConfiguration, broadcast_object_list

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from trainer.loop.malloc import keep_freed_memory

Decision = TypeVar("Decision")


def launch(config: TrainConfig, run: RunDirectory) -> Accelerator:
    """The Accelerator of this process; under torchrun or `accelerate launch`, one of several.

    On a CPU the process keeps the memory it frees from then on (trainer/loop/malloc.py).

    Raises:
        UserError: a tracker is not installed, or a GPU is asked for where there is none.
    """
    _require_trackers(config.training.report_to)
    if config.training.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "training.device is cuda, but torch sees no GPU", where="training.device", fix="use auto or cpu"
        )
    # Steps differ in length: segments of fixed size would leave gaps that nothing fits. Read when the GPU is first used.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    accelerator = Accelerator(
        cpu=config.training.device == "cpu",
        log_with=list(config.training.report_to) or None,
        project_config=ProjectConfiguration(project_dir=str(run.root), logging_dir=str(run.trackers)),
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator


def decided_by_first(accelerator: Accelerator, decide: Callable[[], Decision]) -> Decision:
    """What the first process decides, told to all of them; only it looks at the disk, which others may not share.

    Raises:
        UserError: in every process, where the first one's `decide` does.
    """
    outcome: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [decide()]
        except UserError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if isinstance(outcome[0], UserError):
        raise outcome[0]
    decision: Decision = outcome[0]
    return decision


def _require_trackers(names: tuple[str, ...]) -> None:
    available = {str(tracker) for tracker in get_available_trackers()}
    missing = [name for name in names if name not in available]
    if missing:
        raise UserError(
            f"training.report_to names {', '.join(missing)}, which is not installed here",
            where="training.report_to",
            fix=f"pip install it, or choose from: {', '.join(sorted(available)) or 'none'}",
        )


def start_trackers(accelerator: Accelerator, config: TrainConfig, run: RunDirectory) -> None:
    """Opens the trackers, which write below the run's directory, and shows them the config as flat keys.

    Raises:
        UserError: one of them does not start.
    """
    settings = dict(flat(config.model_dump(mode="json")))
    accelerator.project_configuration.logging_dir = str(run.trackers)
    try:
        accelerator.init_trackers("echo-lora", config=settings, init_kwargs={"wandb": {"name": config.name}})
    except Exception as error:  # each tracker raises its own: no login, no server, an old version
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"a tracker of training.report_to ({', '.join(config.training.report_to)}) does not start: {reason}",
            where="training.report_to",
            fix="log in to it, or leave it out: --training.report_to '[]'",
        ) from None


def flat(tree: dict[str, object], prefix: str = "") -> list[tuple[str, str | int | float | bool]]:
    """Nested settings as (dotted key, value) pairs; what is no plain value becomes text."""
    pairs: list[tuple[str, str | int | float | bool]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            pairs += flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value if isinstance(value, str | int | float | bool) else str(value)))
    return pairs
