"""What every document promises: whole or absent, refused rather than guessed."""

import errno
import json
import os
import tracemalloc
from typing import ClassVar, Literal

import pytest
from pydantic import ValidationError

from schemas.document import Document, write_atomically
from schemas.errors import UserError


class Note(Document):
    """A document as small as can be."""

    title: ClassVar[str] = "note"
    schema_version: Literal["1"] = "1"
    text: str
    weight: float = 1.0


def test_a_document_survives_the_disk(tmp_path):
    note = Note(text="hello", weight=0.1)
    assert Note.read(note.write(tmp_path / "deep" / "note.json")) == note


def test_a_document_is_frozen():
    with pytest.raises(ValidationError):
        Note(text="hello").text = "other"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": "a", "colour": "red"}, "colour: unknown key"),
        ({"text": 3}, "text: Input should be a valid string"),
        ({}, "text: Field required"),
        ({"text": "a", "weight": float("nan")}, "weight: Input should be a finite number"),
        ({"text": "a", "schema_version": "7"}, "schema version '7', this release reads '1'"),
    ],
)
def test_a_fault_names_its_field(data, message):
    with pytest.raises(UserError) as fault:
        Note.parse(data, where="note.yaml")
    assert message in str(fault.value)
    assert "note.yaml" in str(fault.value)


class Letter(Document):
    """A document whose only key had two other names before."""

    title: ClassVar[str] = "letter"
    schema_version: Literal["3"] = "3"
    upgrades: ClassVar = {
        "1": lambda data: {"words" if key == "text" else key: value for key, value in data.items()},
        "2": lambda data: {"content" if key == "words" else key: value for key, value in data.items()},
    }
    content: str


@pytest.mark.parametrize(
    "data",
    [
        {"schema_version": "1", "text": "hello"},
        {"schema_version": "2", "words": "hello"},
        {"schema_version": "3", "content": "hello"},
        {"text": "hello"},
        {"content": "hello"},
    ],
)
def test_every_older_version_is_read_in_todays_words(data):
    assert Letter.parse(data, where="letter.json") == Letter(content="hello")


@pytest.mark.parametrize("version", ["4", "0", "", 1, None, [], {}])
def test_a_version_that_never_was_is_refused(version):
    with pytest.raises(UserError, match="schema version"):
        Letter.parse({"schema_version": version, "content": "hello"}, where="letter.json")


def test_every_fault_is_named_at_once():
    with pytest.raises(UserError) as fault:
        Note.parse({"weight": "heavy", "colour": "red"}, where="note.yaml")
    assert all(field in str(fault.value) for field in ("text", "weight", "colour"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "note.json").write_bytes(content)
    with pytest.raises(UserError):
        Note.read(tmp_path / "note.json")


def test_a_missing_file_says_which_and_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no note found") as fault:
        Note.read(tmp_path / "note.json")
    assert "run the stage" in str(fault.value)


def test_a_failed_write_leaves_the_old_bytes_and_no_litter(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "note.json", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["note.json"]


def test_equal_documents_have_equal_hashes():
    assert Note(text="a").sha256() == Note.parse(json.loads(Note(text="a").to_json()), where="").sha256()
    assert Note(text="a").sha256() != Note(text="b").sha256()


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"weight": ' + b"9" * 5000 + b"}", b'{"text": 1, "text": "a"}'])
def test_deep_huge_and_doubled_content_is_refused(tmp_path, content):
    (tmp_path / "note.json").write_bytes(content)
    with pytest.raises(UserError, match="is not JSON"):
        Note.read(tmp_path / "note.json")


class Album(Document):
    """A document that may hold many values."""

    title: ClassVar[str] = "album"
    schema_version: Literal["1"] = "1"
    names: tuple[str, ...]


def test_a_million_faults_are_one_line(tmp_path):
    (tmp_path / "album.json").write_text('{"names": [' + "0," * 900_000 + "0]}")
    tracemalloc.start()
    with pytest.raises(UserError, match="900,001 faults") as fault:
        Album.read(tmp_path / "album.json")
    assert tracemalloc.get_traced_memory()[1] < 500 << 20
    tracemalloc.stop()
    assert len(str(fault.value)) < 300


def test_a_faulty_value_is_shown_by_its_beginning():
    with pytest.raises(UserError) as fault:
        Note.parse({"text": ["long"] * 10_000}, where="note.json")
    assert len(str(fault.value)) < 500
