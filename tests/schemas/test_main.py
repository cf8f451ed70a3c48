"""python -m schemas: two commands, each of which writes files and prints where."""

import json

import pytest

from schemas.__main__ import main
from schemas.errors import UserError


def test_export_prints_the_path_of_every_schema_it_wrote(tmp_path, capsys):
    assert main(["export", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(map(str, tmp_path.iterdir()))
    assert json.loads((tmp_path / "TrainConfig.json").read_text())["title"] == "TrainConfig"


def test_docs_makes_the_directory_it_writes_into(tmp_path):
    assert main(["docs", str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"configuration.md", "documents.md"}


@pytest.mark.parametrize("words", [[], ["paint"], ["export"]])
def test_anything_else_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["export", "docs"])
def test_a_later_export_replaces_an_earlier_one(tmp_path, command):
    assert main([command, str(tmp_path)]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([command, str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "name", "text"),
    [
        ("export", "Verdict.json", json.dumps({"mine": 1})),
        ("export", "TrainConfig.json", "[" * 100_000),
        ("docs", "configuration.md", "# My configuration\n"),
    ],
)
def test_a_file_of_somebody_else_is_not_replaced_and_nothing_is_written(tmp_path, command, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match="none of ours"):
        main([command, str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == text
