from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.storage import files
from schemas.storage.files import (
    append_line,
    refuse_occupied,
    remove_own,
    replace_directory,
    restore_replaced,
    write_durably,
)

NAMES = ("record.json", "data.bin")


def filled(path: Path, text: str, *more: str) -> Path:
    path.mkdir(parents=True)
    for name in (*NAMES, *more):
        (path / name).write_text(text)
    return path


def test_a_directory_of_named_files_goes_whole(tmp_path: Path) -> None:
    remove_own(filled(tmp_path / "a", "x"), NAMES)
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    remove_own(filled(tmp_path / "a", "x", "theirs"), NAMES)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["theirs"]


def test_a_link_and_what_it_points_to_stay(tmp_path: Path) -> None:
    target = filled(tmp_path / "target", "x")
    (tmp_path / "link").symlink_to(target)
    remove_own(tmp_path / "link", NAMES)
    assert (tmp_path / "link" / "record.json").exists()


def test_a_replaced_directory_goes_only_after_the_new_one_stands(tmp_path: Path) -> None:
    old, new = filled(tmp_path / "a", "old"), filled(tmp_path / "staged", "new")
    replace_directory(new, old, NAMES)
    assert (tmp_path / "a" / "data.bin").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_kill_between_the_two_renames_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = filled(tmp_path / "a", "old"), filled(tmp_path / "staged", "new")
    rename = os.rename

    def killed(source: Path, target: Path) -> None:
        if Path(source) == new:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_directory(new, old, NAMES)
    monkeypatch.undo()
    assert not old.exists()
    restore_replaced(old)
    assert (old / "data.bin").read_text() == "old"


def test_a_directory_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    refuse_occupied(tmp_path)
    refuse_occupied(tmp_path / "new")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not empty"):
        refuse_occupied(tmp_path)


@pytest.mark.parametrize("write", [lambda path: write_durably(path, b"x"), lambda path: append_line(path, "x")])
def test_a_write_that_fails_names_its_file(tmp_path: Path, write: object) -> None:
    (tmp_path / "full").mkdir()
    with pytest.raises(OSError, match="full") as raised:
        write(tmp_path / "full")  # type: ignore[operator]
    assert raised.value.errno == errno.EISDIR
