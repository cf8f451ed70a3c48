"""What --overwrite may touch, and when: the earlier adapter stands until the new one does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from schemas.run_directory import RunDirectory
from schemas.training.train_config import TrainConfig
from trainer.checkpoint import overwrite
from trainer.loop import loop

Configure = Callable[..., TrainConfig]


class Crash(Exception):
    """Stands for a power cut."""


@pytest.fixture
def configure(tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType) -> Configure:
    def make(**changes: Any) -> TrainConfig:
        config: TrainConfig = training_runs.make_config(tmp_path, tiny_base, records[:28], **changes)
        return config

    return make


@pytest.fixture
def finished(configure: Configure, training_runs: ModuleType) -> RunDirectory:
    """A finished run."""
    run: RunDirectory = training_runs.run(configure())
    return run


@pytest.fixture
def overwrite_crashes(
    configure: Configure, training_runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Overwrites the run with one of seed 1, which crashes in a function's `call`-th call."""

    def crash(module: Any, name: str, *, call: int = 1) -> None:
        config = configure(seed=1)
        with monkeypatch.context() as patch:
            crash_in(patch, module, name, call=call)
            with pytest.raises(Crash):
                training_runs.run(config, overwrite=True)

    return crash


def crash_in(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, call: int = 1) -> None:
    """Lets the `call`-th call of a function crash."""
    function, calls = getattr(module, name), iter(range(1, 1000))

    def crashing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise Crash
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, crashing)


def test_overwrite_replaces_the_trainers_files_and_nothing_else(
    finished: RunDirectory, configure: Configure, training_runs: ModuleType
) -> None:
    before = finished.manifest.read_bytes()
    for name in (".git/HEAD", ".env", "notes.md", "evaluation/mine.txt", "checkpoints/of_another_tool/model.bin"):
        (finished.root / name).parent.mkdir(parents=True, exist_ok=True)
        (finished.root / name).write_text("mine")
    training_runs.run(configure(seed=1), overwrite=True)
    assert read_adapter(finished.adapter).manifest.seed == 1
    assert finished.manifest.read_bytes() != before
    for name in (".git/HEAD", ".env", "notes.md", "evaluation/mine.txt", "checkpoints/of_another_tool/model.bin"):
        assert (finished.root / name).read_text() == "mine"
    assert not (finished.root / ".anew").exists()


@pytest.mark.parametrize(
    "fault",
    [
        {"data__train": ["typo.json"]},
        {"base__model": "/no/such/base"},
        {"adapter__target_modules": ["Wqkv"]},
        {"data__validation_rows": 28},
    ],
)
def test_a_fault_in_the_new_config_leaves_the_finished_run_byte_for_byte(
    finished: RunDirectory, configure: Configure, training_runs: ModuleType, fault: dict[str, Any]
) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in finished.root.rglob("*") if path.is_file()}

    before = contents()
    with pytest.raises(UserError):
        training_runs.run(configure(**fault), overwrite=True)
    assert contents() == before


@pytest.mark.parametrize("step", [1, 5])
def test_an_overwrite_that_is_cut_off_leaves_the_earlier_adapter_and_goes_on_with_the_same_command(
    finished: RunDirectory,
    configure: Configure,
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    overwrite_crashes: Callable[..., None],
    step: int,
) -> None:
    straight = training_runs.run(configure(seed=1, name="straight"))
    overwrite_crashes(loop, "after_step", call=step)
    assert read_adapter(finished.adapter).manifest.seed == 0
    crash_in(monkeypatch, loop, "after_step", call=7 - (step - 1) // 2 * 2)  # one step more than are left
    training_runs.run(configure(seed=1), overwrite=True)
    assert training_runs.adapter_sha256(finished) == training_runs.adapter_sha256(straight)


@pytest.mark.parametrize("point", ["_move_checkpoints", "_move_trackers", "replace_directory", "discard"])
def test_a_replacement_that_is_cut_off_is_ended_by_the_next_call_whatever_it_asks(
    finished: RunDirectory,
    configure: Configure,
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    overwrite_crashes: Callable[..., None],
    point: str,
) -> None:
    overwrite_crashes(overwrite, point)
    read_adapter(finished.adapter)
    crash_in(monkeypatch, loop, "after_step")  # no step is taken again
    training_runs.run(configure(seed=1))
    assert read_adapter(finished.adapter).manifest.seed == 1


def test_an_overwrite_begun_with_another_config_is_forgotten(
    finished: RunDirectory,
    configure: Configure,
    training_runs: ModuleType,
    overwrite_crashes: Callable[..., None],
) -> None:
    overwrite_crashes(loop, "after_step", call=5)
    training_runs.run(configure(seed=2), overwrite=True)
    assert read_adapter(finished.adapter).manifest.seed == 2


def test_curves_of_the_earlier_run_do_not_stand_among_the_new_ones(
    configure: Configure, training_runs: ModuleType
) -> None:
    run = training_runs.run(configure(training__report_to=["tensorboard"]))
    before = {path.name for path in run.trackers.rglob("events.*")}
    training_runs.run(configure(training__report_to=["tensorboard"]), overwrite=True)
    after = {path.name for path in run.trackers.rglob("events.*")}
    assert len(before) == len(after) > 0
    assert not before & after


def test_a_directory_with_other_contents_and_no_run_is_not_overwritten(
    tmp_path: Path, configure: Configure, training_runs: ModuleType
) -> None:
    chapter = tmp_path / "runs" / "run" / "chapters" / "1.tex"
    chapter.parent.mkdir(parents=True)
    chapter.write_text("text")
    with pytest.raises(UserError, match="holds none, but chapters"):
        training_runs.run(configure(), overwrite=True)
    assert [path for path in (tmp_path / "runs").rglob("*") if path.is_file()] == [chapter]


def test_a_link_is_never_followed_by_a_removal(
    tmp_path: Path, finished: RunDirectory, configure: Configure, training_runs: ModuleType
) -> None:
    precious = tmp_path / "precious"
    os.rename(finished.adapter, precious)
    finished.adapter.symlink_to(precious)
    training_runs.run(configure(seed=1), overwrite=True)
    assert read_adapter(precious).manifest.seed == 0
    assert read_adapter(finished.adapter).manifest.seed == 1
    assert not finished.adapter.is_symlink()


def test_earlier_adapters_reports_stay_and_name_the_adapter_they_are_of(
    finished: RunDirectory, configure: Configure, training_runs: ModuleType
) -> None:
    finished.verdict.write_text(json.dumps({"of": "the earlier adapter"}))
    training_runs.run(configure(seed=1), overwrite=True)
    assert finished.verdict.exists()
