"""The trainable parameters by part and name, their optimizer, and both as plain tensors for a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from schemas.training.train_config import TrainConfig
from trainer.echo.objective import Objective

Parts = Mapping[str, Mapping[str, nn.Parameter]]


def trainable_parameters(objective: Objective) -> Parts:
    """`adapter` and, for the echo methods, `echo`: name to parameter."""
    parts = {"adapter": _trainable(objective.model)}
    if objective.echo is not None:
        parts["echo"] = _trainable(objective.echo)
    return {part: named for part, named in parts.items() if named}


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def make_optimizer(parts: Parts, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with a group for the adapter and one for the echo parameters.

    On a step without echo their gradients are None, and AdamW then leaves a parameter wholly alone: no decay, no
    momentum (docs/method.md, trap 3).
    """
    adapter_rate = config.training.rate_of(config.method)
    adapter_decay, echo = config.training.weight_decay, config.echo_path
    echo_rate = echo.learning_rate if echo and echo.learning_rate else adapter_rate
    echo_decay = echo.weight_decay if echo and echo.weight_decay is not None else adapter_decay
    groups = [
        {"params": list(named.values()), "lr": rate, "peak": rate, "weight_decay": decay}
        for part, rate, decay in (("adapter", adapter_rate, adapter_decay), ("echo", echo_rate, echo_decay))
        if (named := parts.get(part))
    ]
    return torch.optim.AdamW(groups, lr=adapter_rate, weight_decay=adapter_decay, fused=True)


def training_tensors(parts: Parts, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    """Parameters and AdamW moments as whole tensors on the CPU, by file and name. With FSDP every process must call it."""
    tensors = {part: {name: _whole(value) for name, value in named.items()} for part, named in parts.items()}
    tensors["optimizer"] = {
        f"{name}/{key}": _whole(value)
        for name, parameter in _named(parts)
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    return tensors


def restore_tensors(
    parts: Parts, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Mapping[str, torch.Tensor]]
) -> None:
    """Puts back what `training_tensors` gave, bit for bit."""
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors["optimizer"].items():
        name, _, moment = key.rpartition("/")
        moments.setdefault(name, {})[moment] = value
    for part, named in parts.items():
        assert set(named) == set(tensors[part]), "a verified checkpoint of an equal config has the same parameters"
        for name, parameter in named.items():
            with torch.no_grad():
                parameter.copy_(_like(tensors[part][name], parameter))
            saved = moments.get(f"{part}/{name}")
            if saved is not None:
                # The step counter too must be on the device: fused AdamW takes no other.
                optimizer.state[parameter] = {
                    key: value.to(parameter.device) if value.ndim == 0 else _like(value, parameter)
                    for key, value in saved.items()
                }


def _named(parts: Parts) -> Iterator[tuple[str, nn.Parameter]]:
    for part, named in parts.items():
        for name, parameter in named.items():
            yield f"{part}/{name}", parameter


def _whole(value: torch.Tensor) -> torch.Tensor:
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu().clone()


def _like(value: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """On the parameter's device, and sharded as it is."""
    value = value.to(parameter.device)
    if isinstance(parameter, DTensor):
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)
    return value
