"""python -m trainer.bench.memory CONFIG ARM: the peak memory of one arm, in a process of its own, as a line of JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import get_args

import torch

from schemas.errors import OK, run_command
from schemas.training.training_bench import Arm, BenchConfig
from trainer.bench.arms import bench_base, make_arm
from trainer.bench.hardware import bench_device

_STEPS = 3


def main(argv: list[str]) -> int:
    """Takes a few steps and prints the peak."""
    path, arm = Path(argv[0]), next(name for name in get_args(Arm) if name == argv[1])
    bench = BenchConfig.read(path)
    device = bench_device(bench)
    imported = _resident()
    make_arm(arm, bench_base(bench.model, bench.dtype, device), bench, device).visit(_STEPS)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else _most_resident() - imported
    print(json.dumps({"peak_memory_bytes": peak}))
    return OK


def _resident() -> int:
    """Bytes of this process in memory now, its libraries included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _most_resident() -> int:
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * 1024


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
