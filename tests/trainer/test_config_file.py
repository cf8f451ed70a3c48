from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.training.train_config import TrainConfig
from trainer.config_file import load_config, option_help, write_config

CONFIG = """\
name: x-{method}
method: echo_lora
base: {model: somewhere}
data: {train: [a.json]}
training: {learning_rate: 1e-4, batch_size: 16}
echo: {}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return path


def test_yaml_1e_4_is_a_number(path: Path) -> None:
    assert load_config(path).training.learning_rate == 1e-4


def test_the_command_line_beats_the_environment_which_beats_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_LORA_TRAINING__BATCH_SIZE", "32")
    monkeypatch.setenv("ECHO_LORA_SEED", "7")
    config = load_config(path, ["--training.batch_size", "64"])
    assert (config.training.batch_size, config.seed) == (64, 7)


def test_one_file_serves_all_methods(path: Path) -> None:
    assert [load_config(path, ["--method", m]).name for m in ("lora", "echo_dora")] == ["x-lora", "x-echo_dora"]


def test_an_old_file_takes_options_in_todays_words(path: Path) -> None:
    path.write_text(CONFIG.replace("echo: {}", "echo: {gate_bias: -1.0, bottleneck: 8}"))
    sigmoids = [load_config(path, options).echo for options in ([], ["--echo.sigmoid_bias", "-3"])]
    assert [echo and (echo.sigmoid_bias, echo.bottleneck) for echo in sigmoids] == [(-1.0, 8), (-3.0, 8)]


def test_lists_and_null_can_be_given_on_the_command_line(path: Path) -> None:
    options = ["--adapter.target_modules", "q_proj,v_proj", "--data.input_field", "null", "--data.train", '["b.json"]']
    config = load_config(path, options)
    assert config.adapter.target_modules == ("q_proj", "v_proj")
    assert config.data.input_field is None
    assert config.data.train[0].path == "b.json"


def test_every_fault_is_reported_at_once(path: Path) -> None:
    with pytest.raises(UserError) as raised:
        load_config(path, ["--method", "loara", "--adapter.rank", "0"])
    assert "method" in raised.value.what
    assert "adapter.rank" in raised.value.what


def test_an_unknown_key_in_the_file_is_named(path: Path) -> None:
    path.write_text(CONFIG + "trainig: {}\n")
    with pytest.raises(UserError, match="trainig: unknown key"):
        load_config(path)


def test_a_mistyped_option_is_met_with_the_right_one(path: Path) -> None:
    with pytest.raises(UserError) as raised:
        load_config(path, ["--training.learning_rat", "1e-4"])
    assert raised.value.fix is not None
    assert "--training.learning_rate" in raised.value.fix


def test_an_echo_method_without_its_section_is_refused(path: Path) -> None:
    path.write_text(CONFIG.replace("echo: {}", ""))
    with pytest.raises(UserError, match="needs an `echo:` section"):
        load_config(path)


@pytest.mark.parametrize("text", ["name: a\nname: b\n", "[1, 2", "- a\n"])
def test_what_is_no_mapping_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training config"):
        load_config(tmp_path / "none.yaml")


def test_the_resolved_config_reads_back_equal(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    write_config(config, tmp_path / "resolved.yaml")
    assert load_config(tmp_path / "resolved.yaml") == config


def test_help_lists_every_field(path: Path) -> None:
    text = option_help()
    assert "--echo.distillation.temperature" in text
    assert all(f"--{name}" in text for name in TrainConfig.model_fields if name not in ("echo", "data", "base", "adapter", "training"))  # fmt: skip


def test_a_bad_config_ends_with_code_2_before_torch_is_imported(path: Path) -> None:
    program = (
        "import sys; from schemas.errors import run_command; from trainer.__main__ import main\n"
        "try: run_command(main, sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(path), "--adapter.rank", "many"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (2, "False")
    assert "adapter.rank" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("config", sorted(Path("configs").glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("method", ["lora", "dora", "echo_lora", "echo_dora"])
def test_each_ready_config_takes_each_method(config: Path, method: str) -> None:
    assert load_config(config, ["--method", method]).name == f"{config.stem}-{method}"
