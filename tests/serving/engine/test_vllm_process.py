"""What vLLM is started with: loopback, absolute paths, the rank of the adapters, no secrets, nothing at run time."""

from pathlib import Path

import pytest

from serving.command_line import parse_serve_options
from serving.engine.vllm_process import ServedWeights, command_line, environment, log_path, on_cpu
from serving.gateway.state_directory import StateDirectory
from serving.options import ServeOptions

WEIGHTS = ServedWeights(
    Path("base"), "base", "float32", {"a": Path("stored/a"), "b": Path("stored/b")}, 32, 3, ("q_proj",)
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


def test_sampling_settings_beside_the_base_do_not_change_what_was_scored():
    assert following(command_line(WEIGHTS, ServeOptions(runs=())), "--generation-config") == "vllm"


def test_slots_and_modules_are_those_of_the_adapters():
    line = command_line(WEIGHTS, ServeOptions(runs=()))
    assert (following(line, "--max-loras"), following(line, "--max-lora-rank")) == ("3", "32")
    assert following(line, "--lora-target-modules") == "q_proj"


def test_merged_weights_start_without_adapters():
    line = command_line(ServedWeights(Path("merged"), "dora", "float32", {}, 0, 0), ServeOptions(runs=()))
    assert not [part for part in line if "lora" in part.lower()]


def test_options_that_were_passed_on_win_over_the_cpu_defaults():
    line = command_line(WEIGHTS, ServeOptions(runs=(), vllm_arguments=("--gpu-memory-utilization=0.7",)))
    assert [part for part in line if "gpu-memory" in part] == ["--gpu-memory-utilization=0.7"]


def test_several_gpus_copies_and_ray_are_vllms_own_options():
    given = ["--tensor-parallel-size=2", "--pipeline-parallel-size=3", "--data-parallel-size=4"]
    options = parse_serve_options(["runs/a", *given, "--distributed-executor-backend", "ray"])
    assert command_line(WEIGHTS, options)[-4:] == [*given, "--distributed-executor-backend=ray"]


def test_no_secret_reaches_the_child_and_no_adapter_can_be_loaded_later(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "VLLM_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1")
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "1")
    child = environment(StateDirectory(tmp_path), ServeOptions(runs=()))
    assert "hidden" not in child.values()
    assert (child["VLLM_ALLOW_RUNTIME_LORA_UPDATING"], child["VLLM_SERVER_DEV_MODE"]) == ("0", "0")
    assert child["HF_HUB_OFFLINE"] == "1"


@pytest.mark.skipif(not on_cpu(), reason="vLLM's CUDA build compiles, and brings what it needs")
def test_the_cpu_build_needs_no_compiler(tmp_path):
    assert environment(StateDirectory(tmp_path), ServeOptions(runs=()))["TORCHDYNAMO_DISABLE"] == "1"


def test_without_a_terminal_the_log_goes_where_ours_goes():
    assert log_path(ServeOptions(runs=())) is None
