from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import yaml
from rich.console import Console

from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig, in_first_words
from trainer.checkpoint.resume import AnotherRun, where_to_start
from trainer.loop import loop
from trainer.train import train

Configure = Callable[..., TrainConfig]


class Crash(Exception):
    """Stands for a power cut between two steps."""


@pytest.fixture
def configure(tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType) -> Configure:
    def make(directory: str = "a", **changes: Any) -> TrainConfig:
        config: TrainConfig = training_runs.make_config(tmp_path / directory, tiny_base, records[:28], **changes)
        return config

    return make


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    after_step = loop.after_step

    def crashing(state: Any, report: Any) -> Any:
        if report.step == step:
            raise Crash
        return after_step(state, report)

    monkeypatch.setattr(loop, "after_step", crashing)


def crashed_and_resumed(
    config: TrainConfig, at: int, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> RunDirectory:
    with monkeypatch.context() as patch:
        crash_at(patch, at)
        with pytest.raises(Crash):
            training_runs.run(config)
    done: RunDirectory = training_runs.run(config)
    return done


@pytest.mark.parametrize(
    ("method", "changes", "at"),
    [
        ("lora", {}, 3),  # the end of an epoch of three steps
        ("dora", {}, 4),
        ("echo_lora", {}, 3),
        ("echo_dora", {}, 5),
        ("echo_lora", {"training__micro_batch_size": 2}, 4),
        ("echo_dora", {"training__micro_batch_size": 4, "training__gradient_checkpointing": True}, 3),
        ("lora", {"training__save_every": 1, "training__keep_checkpoints": 1}, 1),
        ("echo_lora", {"training__save_every": None}, 5),  # nothing to resume from: starts anew
    ],
)
def test_a_resumed_run_ends_in_the_very_same_bytes(
    configure: Configure,
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    changes: dict[str, Any],
    at: int,
) -> None:
    straight = training_runs.run(configure("straight", method=method, **changes))
    resumed = crashed_and_resumed(configure("resumed", method=method, **changes), at, training_runs, monkeypatch)
    assert training_runs.adapter_sha256(resumed) == training_runs.adapter_sha256(straight)
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if "second" not in k}
            for line in run.metrics.read_text().splitlines()
        ]
        for run in (straight, resumed)
    ]
    assert lines[0] == lines[1]


def test_resume_takes_the_newest_that_verifies_and_says_what_it_skipped(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    crash_at(monkeypatch, 5)
    with pytest.raises(Crash):
        training_runs.run(config)
    monkeypatch.undo()
    run = RunDirectory(Path(config.runs) / config.name)
    os.truncate(run.checkpoints / "step-00000004" / "optimizer.safetensors", 50)
    console = Console(record=True, width=200, file=io.StringIO())
    train(config, console)
    said = console.export_text()
    assert "skipped checkpoint step-00000004: optimizer.safetensors is not the file that was saved" in said
    assert "resuming from step-00000002" in said
    straight = training_runs.run(configure("straight"))
    assert training_runs.adapter_sha256(run) == training_runs.adapter_sha256(straight)


def test_a_finished_run_is_left_as_it_is(configure: Configure, training_runs: ModuleType) -> None:
    run = training_runs.run(configure())
    before = run.manifest.read_bytes()
    training_runs.run(configure(training__log_every=1))  # how often it reports does not change what it is
    assert run.manifest.read_bytes() == before


@pytest.mark.parametrize("stage", ["finished", "begun"])
def test_a_run_of_another_config_is_refused_by_the_names_of_the_changed_fields(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    if stage == "begun":
        with monkeypatch.context() as patch:
            crash_at(patch, 4)
            with pytest.raises(Crash):
                training_runs.run(configure())
    else:
        training_runs.run(configure())
    with pytest.raises(AnotherRun, match=r"adapter\.alpha: 8\.0 there, 16\.0 now") as raised:
        training_runs.run(configure(adapter__alpha=16, training__save_every=3))
    assert "save_every" not in raised.value.what
    assert "--overwrite" in str(raised.value.fix)


def test_changed_data_are_refused(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    with monkeypatch.context() as patch:
        crash_at(patch, 4)
        with pytest.raises(Crash):
            training_runs.run(config)
    data = Path(config.data.train[0].path)
    data.write_text(data.read_text().replace("golden", "silver"))
    with pytest.raises(AnotherRun, match="data have changed"):
        training_runs.run(config)


def test_a_lost_or_damaged_adapter_is_exported_again_without_training(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training_runs.run(configure())
    wanted = training_runs.adapter_sha256(run)
    crash_at(monkeypatch, 0)  # any step would fail
    shutil.rmtree(run.adapter)
    training_runs.run(configure())
    assert training_runs.adapter_sha256(run) == wanted
    os.truncate(run.adapter / "adapter_model.safetensors", 100)
    training_runs.run(configure())
    assert training_runs.adapter_sha256(run) == wanted


def test_what_an_broken_reader_file_says_does_not_decide_what_is_done(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault whose help reads as another run's refusal still means: export again."""
    config = configure()
    run = training_runs.run(config)
    refusal = AnotherRun("any", where=run.adapter)

    def broken_reader(path: Path) -> Any:
        raise UserError("cut short", where=path, fix=refusal.fix)

    monkeypatch.setattr("trainer.checkpoint.resume.read_adapter", broken_reader)
    start = where_to_start(run, config, overwrite=False)
    assert not start.complete
    assert "the adapter is not whole (cut short)" in start.notes[0]


def test_a_finished_run_of_the_old_words_is_complete(configure: Configure, training_runs: ModuleType) -> None:
    run = training_runs.run(configure(method="echo_lora"))
    config = yaml.safe_load(run.config.read_text())
    run.config.write_text(yaml.safe_dump(in_first_words(config), sort_keys=False))
    assert "gate_bias" in run.config.read_text()
    assert where_to_start(run, configure(method="echo_lora"), overwrite=False).complete


def in_old_words(checkpoint: Path) -> None:
    """Rewrites a checkpoint as a release with configs of version 1 wrote it."""
    record = json.loads((checkpoint / "checkpoint.json").read_text())
    record["state"]["identity"]["config"] = in_first_words(record["state"]["identity"]["config"])
    for name in record["files"]:
        tensors = safetensors.torch.load_file(checkpoint / name)
        old = {key.replace("sigmoid_bias", "gate_bias"): tensor for key, tensor in tensors.items()}
        data = safetensors.torch.save(old)
        (checkpoint / name).write_bytes(data)
        record["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (checkpoint / "checkpoint.json").write_text(json.dumps(record))


def test_a_checkpoint_of_the_old_words_is_gone_on_from(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = training_runs.run(configure("straight", method="echo_lora"))
    config = configure("resumed", method="echo_lora")
    with monkeypatch.context() as patch:
        crash_at(patch, 5)
        with pytest.raises(Crash):
            training_runs.run(config)
    run = RunDirectory(Path(config.runs) / config.name)
    in_old_words(run.checkpoints / "step-00000004")
    assert where_to_start(run, config, overwrite=False).notes == ["resuming from step-00000004"]
    assert training_runs.adapter_sha256(training_runs.run(config)) == training_runs.adapter_sha256(straight)
