"""torchrun's elastic launch: a second machine joins a run that has begun, and the run goes on with both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import yaml

from schemas.run_directory import RunDirectory
from tests.trainer.loop.test_distributed import adapters_differ_by, wait_for


def agent(port: int, config: Path) -> subprocess.Popen[str]:
    """What one machine of one or two runs, a process each."""
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-conf=last_call_timeout=1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1:2", "--nproc-per-node=1", "--max-restarts=3"]
    command = [*launcher, "--monitor-interval=0.2", *meeting, "-m", "trainer", str(config)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_a_second_machine_joins_and_the_adapter_is_the_one_of_a_single_process(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    changes = {"method": "lora", "adapter__dropout": 0.0, "training__max_steps": 600, "training__save_every": 20}
    one = training_runs.run(training_runs.make_config(tmp_path / "one", tiny_base, records, **changes))
    config = training_runs.write_config(tmp_path / "two", tiny_base, records, **changes)
    run = RunDirectory(tmp_path / "two" / "runs" / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machines = [agent(port, config)]
    wait_for(lambda: any(run.checkpoints.glob("step-*")), machines[0])
    machines.append(agent(port, config))
    said = [machine.communicate(timeout=200)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert yaml.safe_load(run.manifest.read_text())["training"]["processes"] == 2
    assert adapters_differ_by(one, run) < 1e-4
