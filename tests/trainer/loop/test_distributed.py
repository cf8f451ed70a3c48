"""More than one process: the same run as with one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch

from schemas.run_directory import RunDirectory


def torchrun(processes: int, *arguments: object) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*launcher, "-m", "trainer", *map(str, arguments)]


def run_to_end(command: list[str], seconds: float = 240) -> str:
    """What the command printed and logged; processes that wait for each other for ever are shown where they stand."""
    launched = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
    )
    try:
        printed, errors = launched.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for worker in workers_of(launched.pid):
            os.kill(worker, signal.SIGABRT)  # it prints its stack
        _, errors = launched.communicate()
        pytest.fail(f"not at its end after {seconds:.0f} s:\n{errors}")
    assert launched.returncode == 0, errors
    return printed + errors


def adapters_differ_by(one: RunDirectory, other: RunDirectory) -> float:
    tensors = [safetensors.torch.load_file(run.adapter / "adapter_model.safetensors") for run in (one, other)]
    return max(float((tensors[0][name] - tensors[1][name]).abs().max()) for name in tensors[0])


def statistics_differ_by(one: RunDirectory, other: RunDirectory) -> float:
    newest = [max(run.checkpoints.iterdir()) / "running.safetensors" for run in (one, other)]
    (ours, theirs) = (safetensors.torch.load_file(path) for path in newest)
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def losses(run: RunDirectory) -> list[float]:
    return [json.loads(line)["loss"] for line in run.metrics.read_text().splitlines()]


@pytest.mark.parametrize(("method", "sharding"), [("lora", "none"), ("echo_lora", "none"), ("echo_dora", "fsdp")])
def test_two_processes_follow_one_with_routing_on_and_off_and_an_uneven_last_batch(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    method: str,
    sharding: str,
) -> None:
    """17 examples in batches of 8: the third step has one example, so one process has none."""
    changes: dict[str, Any] = {"method": method, "adapter__dropout": 0.0, "training__log_every": 1}
    changes["echo__distillation"] = {"representations": 0.5}  # reads the states of whole layers, too
    changes |= {"echo__normalisation": "whitened", "echo__pooling": "last"}
    unequal = [{**record, "output": record["output"] + " indeed" * (i % 7)} for i, record in enumerate(records)][:21]
    configs = [
        training_runs.write_config(tmp_path / name, tiny_base, unequal, **changes, training__micro_batch_size=2)
        for name in ("one", "two")
    ]
    one = training_runs.run(training_runs.load_config(configs[0]))
    said = run_to_end(torchrun(2, configs[1], "--training.sharding", sharding))
    assert "running the whole batch twice" not in said  # the prefix is shared, among processes too
    two = RunDirectory(tmp_path / "two" / "runs" / "run")
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert adapters_differ_by(one, two) < 1e-5
    if method != "lora":
        assert statistics_differ_by(one, two) < 1e-5
        shares = [json.loads(line)["echo_share"] for line in one.metrics.read_text().splitlines()]
        assert {0.0, 1.0} == set(shares)


def test_a_lost_worker_fails_the_run_and_the_restart_goes_on(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    changes: dict[str, Any] = {"method": "echo_lora", "training__max_steps": 60, "training__save_every": 1}
    config = training_runs.write_config(tmp_path, tiny_base, records, **changes)
    run = RunDirectory(tmp_path / "runs" / "run")
    launched = subprocess.Popen(torchrun(2, config), stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: any(run.checkpoints.glob("step-*")), launched)
    os.kill(workers_of(launched.pid)[-1], signal.SIGKILL)
    launched.communicate(timeout=120)
    assert launched.returncode != 0
    assert not run.adapter.exists()
    assert "resuming from step-" in run_to_end(torchrun(2, config, "--training.log_every", "1"))
    assert run.manifest.exists()


ENDINGS = """
import os, sys, torch
from accelerate import Accelerator
from trainer.loop.distributed import end

def one_run(rank, store):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare_model(torch.nn.Linear(64, 64))
    model(torch.ones(4, 64)).sum().backward()
    torch.distributed.all_reduce(torch.ones(4))
    end(accelerator)

torch.set_num_threads(1)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # all threads of both processes get in each other's way
for round in range(25):
    ranks = [os.fork(), None]
    if ranks[0] != 0:
        ranks[1] = os.fork()
    if 0 in ranks:
        one_run(ranks.index(0), f"{sys.argv[1]}/{round}")
        os._exit(0)
    for rank in ranks:
        assert os.waitpid(rank, 0)[1] == 0
"""


def test_processes_end_while_the_last_collective_is_being_forgotten(tmp_path: Path) -> None:
    """Without the reference that `end` keeps, one of a few rounds waits for ever."""
    (tmp_path / "endings.py").write_text(ENDINGS)
    endings = subprocess.Popen([sys.executable, tmp_path / "endings.py", tmp_path], start_new_session=True)
    try:
        assert endings.wait(timeout=60) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(endings.pid, signal.SIGKILL)
        endings.wait()


OUTLASTS = """
import time
from datetime import timedelta
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from trainer.loop.distributed import end
accelerator = Accelerator(cpu=True, kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=2))])
accelerator.wait_for_everyone()
if accelerator.is_main_process:
    time.sleep(5)  # it exports
end(accelerator)
print("ended")
"""


def test_an_export_may_outlast_the_time_that_a_collective_has(tmp_path: Path) -> None:
    (tmp_path / "outlasts.py").write_text(OUTLASTS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [*launcher, str(tmp_path / "outlasts.py")], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.stdout.split() == ["ended", "ended"], done.stderr


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


def workers_of(launcher: int) -> list[int]:
    """The launcher's children, in the order of their start."""
    return [int(child) for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
