"""A restart with another number of processes goes on with the same run: what torchrun's elastic launch asks of a trainer."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from types import ModuleType

from schemas.run_directory import RunDirectory
from tests.trainer.loop.test_distributed import adapters_differ_by, run_to_end, torchrun, wait_for


def test_one_process_is_stopped_two_go_on_and_the_adapter_is_that_of_one_alone(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    changes = {"method": "echo_lora", "adapter__dropout": 0.0, "training__max_steps": 12, "training__save_every": 2}
    one = training_runs.run(training_runs.make_config(tmp_path / "one", tiny_base, records, **changes))
    config = training_runs.write_config(tmp_path / "two", tiny_base, records, **changes)
    run = RunDirectory(tmp_path / "two" / "runs" / "run")
    alone = subprocess.Popen(torchrun(1, config), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(run.checkpoints.glob("step-*")), alone)
    alone.send_signal(signal.SIGTERM)
    alone.communicate(timeout=120)
    assert not run.adapter.exists()
    assert "resuming from step-" in run_to_end(torchrun(2, config))
    assert json.loads(run.manifest.read_text())["training"]["processes"] == 2
    assert adapters_differ_by(one, run) < 1e-5
