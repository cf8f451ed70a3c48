"""What vLLM is started with: loopback, absolute paths, the rank of the adapters, no secrets, nothing at run time."""

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import UserError
from serving.lora_rank import ALLOWED_MAX_RANKS, max_lora_rank
from serving.options import ServeOptions
from serving.state_directory import StateDirectory
from serving.vllm_process import ServedWeights, command_line, environment, log_path

WEIGHTS = ServedWeights(
    Path("base"), "base", "float32", {"a": Path("stored/a"), "b": Path("stored/b")}, 32, ("q_proj",)
)


def following(line, option):
    return line[line.index(option) + 1]


def test_every_path_is_absolute():
    line = command_line(WEIGHTS, ServeOptions(runs=()))
    modules = [part for part in line if part.startswith('{"name"')]
    assert len(modules) == 2
    assert all(f'"path": "{Path.cwd()}/stored/' in module for module in modules)
    assert str(Path.cwd() / "base") in line


def test_it_listens_on_this_machine_only_unless_told():
    assert following(command_line(WEIGHTS, ServeOptions(runs=())), "--host") == "127.0.0.1"


def test_slots_and_modules_are_those_of_the_adapters():
    line = command_line(WEIGHTS, ServeOptions(runs=()))
    assert (following(line, "--max-loras"), following(line, "--max-lora-rank")) == ("2", "32")
    assert following(line, "--lora-target-modules") == "q_proj"


def test_merged_weights_start_without_adapters():
    line = command_line(ServedWeights(Path("merged"), "dora", "float32", {}, 0), ServeOptions(runs=()))
    assert not [part for part in line if "lora" in part.lower()]


def test_options_that_were_passed_on_win_over_the_cpu_defaults():
    line = command_line(WEIGHTS, ServeOptions(runs=(), vllm_arguments=("--gpu-memory-utilization=0.7",)))
    assert [part for part in line if "gpu-memory" in part] == ["--gpu-memory-utilization=0.7"]


def test_no_secret_reaches_the_child_and_no_adapter_can_be_loaded_later(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1")
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")
    child = environment(StateDirectory(tmp_path), ServeOptions(runs=()))
    assert "hidden" not in child.values()
    assert (child["VLLM_ALLOW_RUNTIME_LORA_UPDATING"], child["VLLM_SERVER_DEV_MODE"]) == ("0", "0")
    assert child["HF_HUB_OFFLINE"] == "1"


def test_without_a_terminal_the_log_goes_where_ours_goes():
    assert log_path(ServeOptions(runs=())) is None


@pytest.mark.parametrize(("ranks", "width"), [((1,), 1), ((4,), 8), ((8, 20), 32), ((512,), 512)])
def test_the_buffers_are_the_narrowest_that_hold_every_adapter(ranks, width):
    assert max_lora_rank(ranks) == width


def test_a_rank_that_vllm_cannot_serve_is_refused():
    with pytest.raises(UserError, match="up to rank 512"):
        max_lora_rank([513])


@pytest.mark.vllm
def test_the_widths_are_those_of_the_installed_vllm():
    code = "import typing, vllm.config.lora as l; print('RANKS', *typing.get_args(l.MaxLoRARanks))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert f"RANKS {' '.join(map(str, ALLOWED_MAX_RANKS))}" in out
