"""Spreads the objective over the launched processes: replicas (DDP) or shards (FSDP2).

Both average gradients over the processes; the loop scales its loss up, since what it wants is their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import torch
from accelerate import Accelerator
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from schemas.training.train_config import TrainConfig
from trainer.echo.objective import Objective

_EXPORTED = "echo_lora/exported"  # key in the processes' store


def spread(objective: Objective, config: TrainConfig, accelerator: Accelerator) -> nn.Module:
    """The module to call in training. With `training.sharding: fsdp` its parameters are shards from here on."""
    if accelerator.num_processes == 1 or config.training.sharding == "none":
        prepared: nn.Module = accelerator.prepare_model(objective)
        return prepared
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for layer in objective.paths.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    return objective


def loading_device(sharding: str, accelerator: Accelerator) -> torch.device:
    """Where the base is loaded: a model that is to be sharded may not fit on one GPU, and goes there layer by layer."""
    sharded = accelerator.num_processes > 1 and sharding == "fsdp"
    return torch.device("cpu") if sharded else accelerator.device


def whole_model(
    objective: Objective, accelerator: Accelerator, load_anew: Callable[[torch.device], PeftModel]
) -> PeftModel | None:
    """The trained model in one piece on the first process, None on the others; with FSDP, every process must call it.

    Args:
        objective: the trained module.
        accelerator: the processes.
        load_anew: the base with a fresh adapter, on a device; shards are put together in it.
    """
    model = objective.model
    if isinstance(objective, FSDPModule):
        tensors = {name: _whole(tensor) for name, tensor in get_peft_model_state_dict(model).items()}
        if accelerator.is_main_process:
            model = load_anew(torch.device("cpu"))
            set_peft_model_state_dict(model, tensors)
    return model if accelerator.is_main_process else None


# What keeps the processes' group alive until the interpreter ends; see `end`.
_ended_groups: list[object] = []


def end(accelerator: Accelerator) -> None:
    """Waits for the first process, which exports, closes the trackers, and takes the process group down.

    The gloo group joins its thread when its last reference goes, with the interpreter lock held; where that thread still
    has to drop a tensor of the last collective, for which it needs the lock, both wait for ever. DDP's reducer drops the
    last reference when the caller's frame does. So one more is kept (torch 2.13, seen in 1 of 3 to 100 runs of two processes).
    """
    if torch.distributed.is_initialized():
        _wait_for_first(accelerator)
        accelerator.wait_for_everyone()
        _ended_groups.append(torch.distributed.group.WORLD)
    accelerator.end_training()


def _wait_for_first(accelerator: Accelerator) -> None:
    """Waits at the processes' store, not in a collective: the proof of a large adapter takes longer than those may.

    A first process that fails ends the launch, and with it the others.
    """
    store = torch.distributed.distributed_c10d._get_default_store()
    if accelerator.is_main_process:
        store.set(_EXPORTED, "yes")
    else:
        store.wait([_EXPORTED], timedelta(days=7))


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()
