"""Spreads the objective over the launched processes: replicas (DDP) or shards (FSDP2).

Both average gradients over the processes; the loop scales its loss up, since what it wants is their sum.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from schemas.base.find_base import BaseModelFiles
from schemas.training.train_config import TrainConfig
from trainer.echo.objective import Objective
from trainer.model.base_model import load_base
from trainer.model.peft_adapter import attach_adapter


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


def loading_device(config: TrainConfig, accelerator: Accelerator) -> torch.device:
    """Where the base is loaded: a model that is to be sharded may not fit on one GPU, and goes there layer by layer."""
    sharded = accelerator.num_processes > 1 and config.training.sharding == "fsdp"
    return torch.device("cpu") if sharded else accelerator.device


def whole_model(
    objective: Objective, config: TrainConfig, files: BaseModelFiles, accelerator: Accelerator
) -> PeftModel | None:
    """The trained model in one piece on the first process, None on the others; with FSDP, every process must call it."""
    model = objective.model
    if isinstance(objective, FSDPModule):
        tensors = {name: _whole(tensor) for name, tensor in get_peft_model_state_dict(model).items()}
        if accelerator.is_main_process:
            model = attach_adapter(load_base(files, config.base, torch.device("cpu")), config)
            set_peft_model_state_dict(model, tensors)
    return model if accelerator.is_main_process else None


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()
