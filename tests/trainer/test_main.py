from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from schemas.errors import Diverged, UserError
from schemas.run_directory import RunDirectory
from trainer.__main__ import main
from trainer.checkpoint.checkpoint import newest_checkpoint
from trainer.loop.step import Loop

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType) -> Refused:
    """Runs the command on a faulty config and returns its message, after checking that nothing was left behind."""

    def run(*options: str, rows: Any = None, base: Path | None = None, **changes: Any) -> str:
        path = training_runs.write_config(tmp_path, base or tiny_base, records if rows is None else rows, **changes)
        with pytest.raises(UserError) as raised:
            main([str(path), *options])
        assert not list((tmp_path / "runs").rglob("*"))
        return str(raised.value)

    return run


def test_missing_data_are_refused(refused: Refused) -> None:
    assert "do not exist" in refused(data__train=["nowhere.json"])


def test_empty_data_are_refused(refused: Refused) -> None:
    assert "are empty" in refused(rows=[])


def test_a_record_without_answer_is_refused_by_its_row(refused: Refused, records: list[dict[str, str]]) -> None:
    assert "row 3" in refused(rows=[*records[:2], {"instruction": "and?", "input": ""}])


def test_an_oracle_belongs_in_a_study_and_is_refused_by_its_name(refused: Refused) -> None:
    message = refused(method="echo_lora", echo={"content": "oracle"})
    assert "echo.content: oracle" in message
    assert "python -m studies" in message


def test_target_modules_that_match_nothing_are_refused(refused: Refused) -> None:
    assert "Wqkv" in refused("--adapter.target_modules", "Wqkv")


def test_a_source_layer_above_the_depth_is_refused(refused: Refused) -> None:
    assert "4 decoder layers" in refused("--method", "echo_lora", "--echo.source_layers", "7")


def test_a_base_without_llama_like_layers_is_refused(refused: Refused, tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (base / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2}))
    assert "Llama-like" in refused(base=base)


def test_a_tracker_that_is_not_installed_is_refused(refused: Refused) -> None:
    assert "dvclive" in refused("--training.report_to", "dvclive")


def test_an_attention_that_is_not_installed_is_refused(refused: Refused) -> None:
    assert "flash-attn" in refused("--base.attention", "flash_attention_2")


def test_one_step_of_warm_up_and_no_more_is_refused(refused: Refused) -> None:
    assert "nothing would be learned" in refused("--training.max_steps", "1", "--training.warmup_steps", "1")


def test_a_target_module_named_twice_is_refused(refused: Refused) -> None:
    assert "each module once" in refused(adapter__target_modules=["q_proj", "q_proj"])


def test_prompts_without_a_token_are_refused(refused: Refused, tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    (base / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    rows = [{"instruction": "", "output": "text"}] * 9
    assert "prompt_empty: 9" in refused("--data.template", "plain", rows=rows, base=base)


def test_a_directory_of_somebody_else_is_refused_and_left_as_it_is(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    path = training_runs.write_config(tmp_path, tiny_base, records)
    theirs = tmp_path / "runs" / "run" / "config.yaml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs: true\n")
    for options in ([], ["--overwrite"]):
        with pytest.raises(UserError, match=r"config\.yaml in the run directory"):
            main([str(path), *options])
    assert theirs.read_text() == "theirs: true\n"


def test_more_validation_rows_than_rows_are_refused(refused: Refused) -> None:
    assert "leaves none to train on" in refused("--data.validation_rows", "64")


def test_a_machine_without_room_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.plan.hardware.free_disk", lambda directory: 1000)
    assert "of disk" in refused()
    monkeypatch.setattr("trainer.plan.hardware.memory_of", lambda device: 1000)
    assert "of memory" in refused()


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = training_runs.make_config(tmp_path, tiny_base, records)
    norms = iter([1.0, 1.0, 1.0, 1.0, float("nan")])
    monkeypatch.setattr(Loop, "_clip", lambda loop: torch.tensor(next(norms)))
    with pytest.raises(Diverged, match="not finite at step 5"):
        training_runs.run(config)
    found, skipped = newest_checkpoint(tmp_path / "runs" / "run" / "checkpoints")
    assert found is not None
    assert (found.record.state.step, skipped) == (4, [])


def test_a_run_that_diverges_exits_5(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    path = training_runs.write_config(tmp_path, tiny_base, records, training__learning_rate=1e30)
    ended = training_runs.command(path)
    assert (ended.returncode, "not finite at step" in ended.stderr) == (5, True)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_within_the_step_names_the_partial_work_and_how_to_go_on(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType, signum: int, code: int
) -> None:
    changes = {"training__max_steps": 100_000, "training__save_every": None, "method": "echo_lora"}
    path = training_runs.write_config(tmp_path, tiny_base, records, **changes)
    run = RunDirectory(tmp_path / "runs" / "run")
    process = subprocess.Popen([sys.executable, "-m", "trainer", str(path)], stderr=subprocess.PIPE, text=True)
    while not (run.metrics.exists() and run.metrics.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signum)
    _, message = process.communicate(timeout=120)
    found, _ = newest_checkpoint(run.checkpoints)
    assert process.returncode == code
    assert found is not None
    assert found.path.name in message
    assert "run the same command again" in message
    assert "Traceback" not in message
    assert not run.adapter.exists()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("plan", "bench", "--overwrite", "--training.batch_size", "ECHO_LORA_", "143"))
