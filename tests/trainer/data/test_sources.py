from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pytest

from schemas.errors import UserError
from schemas.training.train_config import DataConfig
from trainer.data.sources import LoadedSource, load_sources, rows_sha256

ROWS = [{"instruction": f"q{i}", "input": "", "output": f"a{i}"} for i in range(5)]


def load(*sources: Any) -> list[LoadedSource]:
    return load_sources(DataConfig.model_validate({"train": list(sources)}))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    datasets.Dataset.from_list(ROWS).to_parquet(tmp_path / "rows.parquet")
    return tmp_path


@pytest.fixture
def server(files: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(files))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.parquet"])
def test_the_same_rows_come_from_every_file_format(files: Path, name: str) -> None:
    [source] = load(str(files / name))
    assert [dict(row) for row in source.rows] == ROWS
    assert source.sha256 == load(str(files / "rows.json"))[0].sha256


def test_rows_come_from_a_url(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    [source] = load(f"{server}/rows.jsonl")
    assert [dict(row) for row in source.rows] == ROWS


def test_limit_takes_the_first_rows(files: Path) -> None:
    [source] = load({"path": str(files / "rows.json"), "limit": 2})
    assert len(source.rows) == 2


def test_a_changed_file_changes_its_identity(files: Path) -> None:
    [before] = load(str(files / "rows.json"))
    (files / "rows.json").write_text(json.dumps([*ROWS[:4], {**ROWS[4], "output": "b4"}]))
    [after] = load(str(files / "rows.json"))
    assert before.sha256 != after.sha256


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "do not exist"), ("", "are empty"), ("[]", "are empty"), ("{nonsense", "not JSON")],
)
def test_missing_empty_and_broken_files_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        load(str(tmp_path / "bad.json"))
    assert "bad.json" in str(raised.value.where)


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=r"\.csv"):
        load(str(tmp_path / "rows.csv"))


def test_a_hub_dataset_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load("nobody/nothing")


def test_dates_stay_the_text_that_the_file_has_from_a_url_too(
    server: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    rows = [{"instruction": "q", "input": "2023-01-01T12:00:00Z", "output": "2024-05-06"}] * 2
    (files / "dates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (str(files / "dates.jsonl"), f"{server}/dates.jsonl"):
        assert [dict(row) for row in load(path)[0].rows] == rows


def test_keys_without_a_value_do_not_change_the_identity_at_any_depth() -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}], "tools": None}
    filled = {"messages": [{"role": "user", "content": "hi", "tool_calls": None}]}
    assert rows_sha256([chat]) == rows_sha256([filled])
    assert rows_sha256([chat]) != rows_sha256([{"messages": [{"role": "user", "content": ""}]}])
