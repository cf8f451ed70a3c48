"""Tokens a second of one and two processes, replicated (DDP) and sharded (FSDP2), in turns on this machine.

  python -m tests.trainer.process_bench BASE DATA.json [--rounds 3] [--steps 12]

One thread per process. Strong scaling: the same 16 samples a step, so two processes have half each; efficiency is the speed of
two over twice the speed of one. Every measured run is a training run of its own, whose first steps are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import yaml

ARMS = {"one": (1, "none"), "two, DDP": (2, "none"), "two, FSDP": (2, "fsdp")}
_LEFT_OUT = 2  # steps


def main() -> None:
    """Runs the arms in turns and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(given.rounds):
            for name in list(ARMS) if number % 2 == 0 else list(ARMS)[::-1]:
                found[name].append(seconds_a_step(Path(scratch) / f"{number}-{name}", given, *ARMS[name]))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    efficiency = {name: medians["one"] / (ARMS[name][0] * median) for name, median in medians.items()}
    print(json.dumps({"load": os.getloadavg(), "seconds a step": found, "efficiency": efficiency}, indent=1))


def seconds_a_step(directory: Path, given: argparse.Namespace, processes: int, sharding: str) -> float:
    """The median step of one run."""
    directory.mkdir()
    config = {
        "name": "run",
        "runs": str(directory),
        "method": "lora",
        "base": {"model": str(given.base.resolve()), "dtype": "float32"},
        "data": {"train": [{"path": str(given.data.resolve()), "limit": 400}], "validation_rows": 0},
        "adapter": {"rank": 16, "alpha": 32, "dropout": 0.0},
        "training": {"max_steps": given.steps, "batch_size": 16, "micro_batch_size": 4, "log_every": 1, "save_every": 10_000,
                     "sharding": sharding, "report_to": [], "device": "cpu"},
    }  # fmt: skip
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, "-m", "trainer", str(directory / "config.yaml")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    lines = [json.loads(line) for line in (directory / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [after["seconds"] - before["seconds"] for before, after in pairwise(lines)]
    return statistics.median(steps[_LEFT_OUT:])


if __name__ == "__main__":
    main()
