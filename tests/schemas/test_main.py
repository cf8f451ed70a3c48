"""python -m schemas: two commands, each of which writes files and prints where."""

import json

import pytest

from schemas.__main__ import main


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
