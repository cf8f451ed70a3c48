"""Kept tokens are those that would be made, for as long as nothing that they follow from has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from schemas.training.train_config import DataConfig
from trainer.data import token_cache
from trainer.data.sources import LoadedSource, rows_sha256
from trainer.data.token_cache import kept_or_made
from trainer.data.tokenization import Examples, make_examples

DATA = DataConfig(train=("x.json",), max_length=300)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny_base)
    return loaded


@pytest.fixture(autouse=True)
def small_data_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "_WORTH_KEEPING", 1)


@pytest.fixture
def sources(records: list[dict[str, str]]) -> list[LoadedSource]:
    rows = [*records, {**records[0], "instruction": "very long " * 1000}]
    return [LoadedSource("x.json", rows, rows_sha256(rows))]


def ask(directory: Path, sources: list[LoadedSource], tokenizer: PreTrainedTokenizerBase, data: DataConfig = DATA) -> tuple[Examples, bool]:  # fmt: skip
    """The examples, and whether they were made now."""
    made: list[Examples] = []

    def make() -> Examples:
        made.append(make_examples(sources, tokenizer, data, quiet=True))
        return made[-1]

    return kept_or_made(directory, sources, tokenizer, data, None, make), bool(made)


def test_the_second_time_they_come_from_the_disk_value_for_value(
    tmp_path: Path, sources: list[LoadedSource], tokenizer: PreTrainedTokenizerBase
) -> None:
    (first, made), (second, again) = (ask(tmp_path / "new", sources, tokenizer) for _ in range(2))
    assert (made, again) == (True, False)
    assert first == second
    assert second.dropped
    assert {type(token) for token in second.kept[0].input_ids} == {int}


def test_other_rows_settings_and_tokenizers_have_tokens_of_their_own(
    tmp_path: Path, tiny_base: Path, sources: list[LoadedSource], tokenizer: PreTrainedTokenizerBase
) -> None:
    ask(tmp_path, sources, tokenizer)
    longer = AutoTokenizer.from_pretrained(tiny_base)
    longer.add_tokens(["question"])
    fewer = [LoadedSource("x.json", sources[0].rows[:9], rows_sha256(sources[0].rows[:9]))]
    other = DATA.model_copy(update={"max_length": 301})
    assert all(made for _, made in (ask(tmp_path, sources, longer), ask(tmp_path, fewer, tokenizer)))
    assert ask(tmp_path, sources, tokenizer, other)[1]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"", lambda raw: b"no tensors"])
def test_a_damaged_file_is_made_again(
    tmp_path: Path, sources: list[LoadedSource], tokenizer: PreTrainedTokenizerBase, damage: object
) -> None:
    first, _ = ask(tmp_path, sources, tokenizer)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    again, made = ask(tmp_path, sources, tokenizer)
    assert (again, made) == (first, True)
    assert not ask(tmp_path, sources, tokenizer)[1]


def test_a_place_that_cannot_be_written_costs_time_only(
    tmp_path: Path, sources: list[LoadedSource], tokenizer: PreTrainedTokenizerBase
) -> None:
    (tmp_path / "file").write_text("")
    assert ask(tmp_path / "file" / "below", sources, tokenizer)[1]
