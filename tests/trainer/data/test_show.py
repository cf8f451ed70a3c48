"""What `python -m trainer show` prints is what the loss counts."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from schemas.errors import OK
from trainer.__main__ import main
from trainer.data.show import show

CHAT = {
    "messages": [
        {"role": "user", "content": "one?"}, {"role": "assistant", "content": "first"}, {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "second", "train": False}, {"role": "user", "content": "three?"},
        {"role": "assistant", "content": "third"},
    ]
}  # fmt: skip


def printed(config: Any, *, colours: bool) -> str:
    written = StringIO()
    show(
        config,
        Console(file=written, width=200, force_terminal=colours, color_system="truecolor" if colours else None),
        examples=1,
    )
    return written.getvalue()


@pytest.fixture
def config(tmp_path: Path, tiny_base: Path, training_runs: ModuleType) -> Any:
    return training_runs.make_config(
        tmp_path, tiny_base, [CHAT, CHAT], data__format="messages", data__validation_rows=0
    )


def test_answers_are_coloured_and_what_is_not_learned_is_not(config: Any) -> None:
    text = printed(config, colours=True)
    assert "\x1b[1;32mfirst</s>" in text
    assert "\x1b[1;32mthird</s>" in text
    assert "32msecond" not in text


def test_without_colours_answers_stand_between_marks(config: Any) -> None:
    text = printed(config, colours=False)
    assert "⟦first</s>" in text
    assert "⟦second" not in text
    assert text.count("⟦") == text.count("⟧") == 2


def test_the_command_takes_a_config_and_its_options(
    tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType, capsys: Any
) -> None:
    path = training_runs.write_config(tmp_path, tiny_base, records)
    assert main(["show", str(path), "--examples", "2", "--data.loss_on", "answers"]) == OK
    told = capsys.readouterr().out
    assert told.count("learned") == 2
    assert "⟦the correct answer is true</s>⟧" in told
    assert not (tmp_path / "runs").exists()
