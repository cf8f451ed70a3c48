"""Kills real training runs (kill -9) at their every file operation, resumes them, and compares what they end in.

    python tests/trainer/kill_fuzz.py --points 120

A child process counts its own operations on files of its run directory (Python's audit events: open, rename, remove, mkdir,
rmdir) and kills itself at a chosen one; so each point of saving, pruning, exporting and resuming can be hit. After
each kill whatever is there must be whole, and the resumed run must end in the bytes of an undisturbed one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from schemas.adapter_reader import read_adapter
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from trainer.checkpoint.checkpoint import newest_checkpoint
from trainer.train import train

SHORT = {"training__max_steps": 3, "training__save_every": 1, "training__log_every": 1}
EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def train_in_child(config: TrainConfig, kill_at: int | None) -> tuple[bool, str]:
    """Runs the training in a fork; returns whether it was killed, and the operation it was killed at (or their number)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(config, kill_at, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, said
    assert os.WEXITSTATUS(status) == 0, f"the run failed: {said}"
    return False, said


def _child(config: TrainConfig, kill_at: int | None, writing: int) -> None:
    root = str(Path(config.runs).resolve())
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in EVENTS or not arguments or root not in str(arguments[0]):
            return
        count += 1
        if count == kill_at:
            os.write(writing, f"{event} {str(arguments[0]).replace(root, '')}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        train(config, Console(quiet=True))
        os.write(writing, str(count).encode())
        os._exit(0)
    except BaseException as error:
        os.write(writing, repr(error).encode())
        os._exit(1)


def fuzz(make_config: Any, points: int, seed: int) -> dict[str, Any]:
    """Kills at evenly spread points, resumes with a second kill at a random one, resumes to the end; counts what happened."""
    scratch = Path(tempfile.mkdtemp(prefix="kill_fuzz_"))
    rng = random.Random(seed)
    methods = ("lora", "dora", "echo_lora", "echo_dora")
    expected, operations = {}, {}
    for method in methods:
        config = make_config(scratch / "straight" / method, method)
        operations[method] = int(train_in_child(config, None)[1])
        expected[method] = _sha256(config)
    where: Counter[str] = Counter()
    for point in track(range(points), "Killing"):
        method = methods[point % len(methods)]
        config = make_config(scratch / "killed", method)
        first = 1 + point * operations[method] // points
        for kill_at in (first, rng.randint(1, operations[method]), None):
            killed, at = train_in_child(config, kill_at)
            if killed:
                where[_kind(at)] += 1
            require_whole(config)
        assert _sha256(config) == expected[method], f"point {point} ({method}, {first}) ends in other bytes"
        shutil.rmtree(scratch / "killed")
    shutil.rmtree(scratch)
    return {
        "runs": points,
        "kills": sum(where.values()),
        "operations_per_run": operations,
        "killed_during": dict(where),
    }


def _run(config: TrainConfig) -> RunDirectory:
    return RunDirectory(Path(config.runs) / config.name)


def _sha256(config: TrainConfig) -> str:
    return hashlib.sha256((_run(config).adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def require_whole(config: TrainConfig) -> None:
    """Whatever bears the name of an adapter or a checkpoint is one."""
    run = _run(config)
    if run.adapter.exists():
        read_adapter(run.adapter)
    _, skipped = newest_checkpoint(run.checkpoints)
    assert not skipped, skipped


def _kind(operation: str) -> str:
    """What the run was doing, told from the file it touched."""
    for part, kind in ((".staged-step", "saving"), (".removed-", "pruning"), (".adapter.staged", "exporting")):
        if part in operation:
            return kind
    return "checkpoints (other)" if "checkpoints" in operation else "elsewhere"


def main() -> None:
    """Fuzzes runs on the quickstart's base, and prints the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    quickstart = Path(__file__).parents[2] / "configs" / "quickstart"
    records = quickstart / "tasks" / "boolq" / "train.json"
    parser.add_argument("--base", type=Path, default=quickstart / "base", help="directory of a tiny base model")
    parser.add_argument("--records", type=Path, default=records, help="JSON list of training records")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    import training_runs

    records = json.loads(arguments.records.read_text())[:20]

    def make_config(directory: Path, method: str) -> TrainConfig:
        config: TrainConfig = training_runs.make_config(directory, arguments.base, records, method=method, **SHORT)
        return config

    print(json.dumps(fuzz(make_config, arguments.points, arguments.seed), indent=2))


if __name__ == "__main__":
    main()
