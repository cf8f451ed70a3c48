"""The script for a GPU's first day: its commands are ones that exist, and its document holds what they said."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(out: Path, *arguments: str) -> tuple[int, dict[str, dict[str, object]]]:
    command = [str(ROOT / "docker" / "gpu_first_day.sh"), "--out", str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable})
    steps = json.loads((out / "first_day.json").read_text())["steps"]
    return done.returncode, {step["name"]: step for step in steps}


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    code, steps = run(tmp_path_factory.mktemp("dry"), "--dry-run")
    assert code == 0
    return steps


def test_a_dry_run_names_every_step_and_runs_none(dry):
    wanted = {"tests", "tests_of_vllm", "bench_8b_4096", "bench_8b_commonsense", "serving_overhead", "backends_agree"}
    assert wanted <= set(dry)
    assert {step["exit_code"] for step in dry.values()} == {None}


def test_every_config_is_there_and_every_option_is_known(dry, tmp_path, monkeypatch):
    from evaluator.commands.agree import _parse
    from serving.bench.command_line import bench_parser
    from trainer.bench.abba import read_config

    words = {name: shlex.split(str(step["command"])) for name, step in dry.items()}
    configs = [word for given in words.values() for word in given if word.endswith(".yaml")]
    assert configs
    assert all((ROOT / config).is_file() for config in configs)
    for name in ("bench_8b_4096", "bench_8b_commonsense"):
        assert read_config(ROOT / next(word for word in words[name] if word.endswith(".yaml"))).device == "cuda"
    _parse(words["backends_agree"][4:])
    bench_parser().parse_args(words["serving_overhead"][4:])


def test_what_a_step_said_and_how_it_ended_is_in_the_document(tmp_path):
    code, steps = run(tmp_path, "--only", "roofline_4096,torch_sees_it")
    assert steps["roofline_4096"]["exit_code"] == 0
    assert "MFU" in str(steps["roofline_4096"]["last_words"])
    import torch

    assert code == int(not torch.cuda.is_available())
    assert set(steps) == {"roofline_4096", "torch_sees_it"}
