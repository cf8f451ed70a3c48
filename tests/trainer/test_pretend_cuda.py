"""Whole steps on a pretend CUDA (tests/trainer/pretend_cuda): nothing mixes devices, and nothing makes the host wait."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STEPS = Path(__file__).parent / "pretend_cuda" / "steps.py"

# Launches of a step of a Llama of 2 layers; forward, backward, clipping and AdamW.
BUDGET = {
    ("lora", "step"): 400,
    ("dora", "step"): 600,
    ("echo_lora", "plain step"): 400,
    ("echo_lora", "echo step"): 900,
    ("echo_dora", "echo step"): 1200,
    ("autocast", "echo step"): 1200,
}


@pytest.fixture(scope="module")
def counts() -> dict[str, Any]:
    """By case and kind of step, what it launches and where it waits."""
    if shutil.which("c++") is None:
        pytest.skip("the pretend CUDA needs a C++ compiler")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, STEPS], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_every_method_and_switch_takes_steps_resumes_and_validates(counts: dict[str, Any]) -> None:
    """A mix of devices raises in the process of its own."""
    assert len(counts) == 18


def test_no_step_makes_the_host_wait_for_the_device(counts: dict[str, Any]) -> None:
    waits = {(case, kind): step["waits"] for case, steps in counts.items() for kind, step in steps.items()}
    assert not any(waits.values()), waits


def test_a_step_launches_no_more_than_its_budget(
    counts: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    found = {(case, kind): counts[case][kind]["launches"] for case, kind in BUDGET}
    for (case, kind), launches in found.items():
        record_property("counted", f"{case}, {kind}: {launches} launches, at most {BUDGET[case, kind]}; 0 waits")
    assert all(launches <= BUDGET[which] for which, launches in found.items()), found
