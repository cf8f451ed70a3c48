"""One flow: what a run's config and one optimizer step pass through, counted on real tiny runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from schemas.training.train_config import TrainConfig
from trainer.loop.step import Loop

ROOT = Path(__file__).parents[2]
STAGES = tuple(f"{ROOT / package}/" for package in ("trainer", "schemas", "evaluator", "serving", "studies"))


@contextmanager
def calls(saw: Callable[[FrameType], None], left: Callable[[FrameType], None] = lambda _: None) -> Iterator[None]:
    """Shows every call of a function while the block runs, and every return from one."""
    before, shown = sys.getprofile(), {"call": saw, "return": left}
    sys.setprofile(lambda frame, event, _: shown[event](frame) if event in shown else None)
    try:
        yield
    finally:
        sys.setprofile(before)


def file_of(frame: FrameType) -> str:
    """The file of the called function; of a dataclass's constructor, the file of its class."""
    name = frame.f_code.co_filename
    if frame.f_code.co_name == "__init__" and name.startswith("<"):
        module = sys.modules.get(type(frame.f_locals.get("self")).__module__)
        name = getattr(module, "__file__", None) or name
    return name


def returns(rooms: list[str]) -> int:
    """How often a walk comes back to a room that it had left."""
    walk = [room for room, _ in groupby(rooms)]
    return len(walk) - len(set(walk))


@pytest.mark.parametrize("method", ["lora", "echo_dora"])
def test_a_config_enters_each_room_about_once(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType, method: str
) -> None:
    """By what its functions are handed: into each room they call, and back into the one that they return to."""
    config = training_runs.make_config(tmp_path, tiny_base, records[:28], method=method, training__max_steps=2)
    holders: list[FrameType] = []
    rooms: list[str] = []

    def saw(frame: FrameType) -> None:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        held = any(isinstance(frame.f_locals.get(name), TrainConfig) for name in names)
        if held and file_of(frame).startswith(STAGES[0]):
            holders.append(frame)
            rooms.append(str(Path(file_of(frame)).parent))

    def left(frame: FrameType) -> None:
        if holders and holders[-1] is frame:
            holders.pop()
            rooms.extend(str(Path(file_of(frame)).parent) for frame in holders[-1:])

    with calls(saw, left):
        training_runs.run(config)
    assert len(set(rooms)) >= 8
    assert returns(rooms) <= 15, [room for room, _ in groupby(rooms)]


@pytest.mark.parametrize("method", ["echo_lora", "echo_dora"])
@pytest.mark.parametrize("implementation", ["two_pass", "shared_prefix"])
def test_the_gradient_of_an_echo_step_crosses_at_most_twelve_files(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    implementation: str,
) -> None:
    accumulate, crossed = Loop._accumulate, set[str]()

    def traced(loop: Loop, of: Any) -> Any:
        assert loop.routes is not None
        assert loop.routes[of.step].echo_on
        with calls(lambda frame: crossed.add(file_of(frame))):
            return accumulate(loop, of)

    monkeypatch.setattr(Loop, "_accumulate", traced)
    echo = {"bottleneck": 8, "routing": {"start": 1.0, "end": 1.0}, "implementation": implementation}
    changes = {"method": method, "echo": echo, "training__max_steps": 2}
    training_runs.run(training_runs.make_config(tmp_path, tiny_base, records[:28], **changes))
    files = sorted(file.removeprefix(f"{ROOT}/") for file in crossed if file.startswith(STAGES))
    assert "trainer/echo/layer_pass.py" in files
    assert len(files) <= 12, files


def test_a_run_reads_its_bases_shape_once(
    tmp_path: Path,
    tiny_base: Path,
    records: list[dict[str, str]],
    training_runs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Any] = []
    from_config = AutoModelForCausalLM.from_config

    def counted(config: Any, **options: Any) -> Any:
        built.append(config)
        return from_config(config, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_config", counted)
    training_runs.run(training_runs.make_config(tmp_path, tiny_base, records[:28], training__max_steps=2))
    assert len(built) == 1
