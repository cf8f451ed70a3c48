"""A file that somebody else may have put there is read whole, or refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.storage.plain_file import read_bounded


def test_the_bytes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"a" * 10)
    assert read_bounded(path, "note", limit=10) == b"a" * 10


def test_a_larger_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.touch()
    os.truncate(path, 100 << 30)
    with pytest.raises(UserError, match="larger than 10 bytes"):
        read_bounded(path, "note", limit=10)


@pytest.mark.timeout(5)
def test_pipes_devices_and_directories_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "device", "directory"):
        with pytest.raises(UserError, match="no regular file"):
            read_bounded(tmp_path / name, "note", limit=10)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no note found") as raised:
        read_bounded(tmp_path / "note", "note", limit=10, fix="write one")
    assert raised.value.fix == "write one"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "loop", "file/below"])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be read"):
        read_bounded(tmp_path / name, "note", limit=10)
