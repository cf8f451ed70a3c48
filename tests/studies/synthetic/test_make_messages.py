"""python -m studies make-messages, as people call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import OK, UserError
from studies.synthetic.make_messages import main


def test_it_writes_the_parts_and_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "messages"
    assert main([str(out), "--train", "5", "--validation", "2", "--test", "3"]) == OK
    assert "5 train, 2 validation, 3 test messages" in capsys.readouterr().out
    lines = {path.name: len(path.read_text().splitlines()) for path in out.iterdir()}
    assert lines == {"train.jsonl": 5, "validation.jsonl": 2, "test.jsonl": 3}


def test_what_lies_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        main([str(tmp_path)])
