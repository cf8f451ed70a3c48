"""What this machine has, memory for the training device and disk for the run, against what a run needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.plan.memory_estimate import Footprint

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_of(device: torch.device) -> int:
    """Bytes of memory that training on the device could use at most."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = [_physical_memory(), *map(_cgroup_limit, _CGROUP_LIMITS)]
    return min(limit for limit in limits if limit is not None)


def _physical_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    return kilobytes * 1024


def _cgroup_limit(path: Path) -> int | None:
    """A container's memory limit; None without one."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def free_disk(directory: Path) -> int:
    """Bytes that can still be written where the directory is or will be."""
    existing = next(path for path in (directory, *directory.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


def training_device(name: str) -> torch.device:
    """The device that `training.device` comes to here."""
    use_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def shortages(config: TrainConfig, needs: Footprint) -> list[str]:
    """What the run clearly lacks here; activations do not count, so that an estimate never forbids."""
    device = training_device(config.training.device)
    certain = {item: amount for item, amount in needs.memory.items() if not item.startswith("activations")}
    has, wants = memory_of(device), sum(certain.values())
    found = []
    if wants > has:
        found.append(f"weights, gradients and moments take {size(wants)} of memory, the device has {size(has)}")
    disk, writes = free_disk(Path(config.runs)), sum(needs.disk.values())
    if writes > disk:
        found.append(f"adapter and checkpoints take {size(writes)} of disk, {size(disk)} is free")
    return found


def size(amount: int) -> str:
    """Bytes for people."""
    return f"{amount / 2**30:,.2f} GiB" if amount >= 2**28 else f"{amount / 2**20:,.1f} MiB"


def refuse_shortages(config: TrainConfig, needs: Footprint) -> None:
    """Stops a run that cannot end well before it costs anything.

    Raises:
        UserError: memory or disk are clearly too small.
    """
    found = shortages(config, needs)
    if found:
        raise UserError(
            "this machine is too small for the run: " + "; ".join(found),
            where=config.name,
            fix="`python -m trainer plan` itemises it; a smaller base, rank, keep_checkpoints or a quantised base need less",
        )
