"""The machine of a bench: its device, its name, and the operations per second that MFU is relative to."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import peft
import torch
import transformers

from schemas.errors import UserError
from schemas.training.training_bench import BenchConfig, MachineFacts

# Dense bfloat16 operations per second on the vendors' data sheets, by a part of the device's name.
_DATA_SHEETS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
_PRODUCT = 2048  # rows and columns of the measured product on a CPU
_REPEATS = 7


def bench_device(bench: BenchConfig) -> torch.device:
    """Where to measure.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if bench.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch sees no GPU", where="device", fix="use auto or cpu")
    return torch.device("cpu" if bench.device == "cpu" or not torch.cuda.is_available() else "cuda")


def machine_facts(bench: BenchConfig, device: torch.device) -> MachineFacts:
    """What the figures depend on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    peak, source = _peak(bench, device)
    return MachineFacts(
        device=_name(device),
        threads=torch.get_num_threads(),
        versions={"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        peak_flops=peak,
        peak_source=source,
        load_average=load,
    )


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {os.cpu_count()} cores" if names else platform.processor() or platform.machine()


def _peak(bench: BenchConfig, device: torch.device) -> tuple[float, str]:
    if bench.peak_flops is not None:
        return bench.peak_flops, "the config"
    if device.type == "cuda":
        for part, peak in _DATA_SHEETS.items():
            if part in torch.cuda.get_device_name(device):
                return peak, "data sheet, dense bfloat16"
    size = _PRODUCT if device.type == "cpu" else 4 * _PRODUCT
    half = device.type == "cuda" or bench.autocast == "bfloat16" or bench.dtype == "bfloat16"
    dtype = torch.bfloat16 if half else torch.float32
    return _measured_peak(device, size, dtype), f"fastest of {_REPEATS} products of {size} x {size} {dtype} matrices"


def _measured_peak(device: torch.device, size: int, dtype: torch.dtype) -> float:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
