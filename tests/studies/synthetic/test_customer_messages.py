"""The recipe: parts without a shared wording, product or date, answers that the messages bear out, the same on every machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.document import sha256_of
from studies.synthetic import message_wordings as words
from studies.synthetic.customer_messages import PARTS, make_messages

ROWS = {"train": 600, "validation": 100, "test": 200}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("messages")
    make_messages(out, ROWS)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def rows(made: Path) -> dict[str, list[dict[str, Any]]]:
    return {part: [json.loads(line) for line in (made / f"{part}.jsonl").read_text().splitlines()] for part in PARTS}


def test_the_parts_share_no_wording_no_product_and_no_date(rows: dict[str, list[dict[str, Any]]]) -> None:
    for what in ("wording", "product", "date"):
        seen = [{_of(row, what) for row in rows[part]} - {None} for part in PARTS]
        assert all(seen)
        assert sum(map(len, seen)) == len(set.union(*seen)), what


def _of(row: dict[str, Any], what: str) -> Any:
    return row[what] if what in row else json.loads(row["answer"])[what]


def test_an_answer_is_in_its_message_and_nothing_else_answers_it(rows: dict[str, list[dict[str, Any]]]) -> None:
    for row in (row for part in PARTS for row in rows[part]):
        answer, message = json.loads(row["answer"]), row["message"]
        assert row["wording"] in words.INTENTS[answer["intent"]]
        assert message.count(answer["product"]) == 1
        assert any(f"{said} {answer['product']}" in message for said in (*words.QUANTITIES[answer["quantity"]], "an"))
        assert answer["urgent"] == any(said in message for said in words.URGENT)
        if answer["date"]:
            month, day = map(int, answer["date"].split("/"))
            assert words.MONTHS[month - 1] in message
            assert str(day) in message


def test_a_row_is_a_chat_that_ends_with_its_answer(rows: dict[str, list[dict[str, Any]]]) -> None:
    row = rows["train"][0]
    assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
    assert [turn["content"] for turn in row["messages"][1:]] == [row["message"], row["answer"]]


def test_no_message_is_a_lookup(rows: dict[str, list[dict[str, Any]]]) -> None:
    known = {row["message"] for row in rows["train"]}
    assert len(known) > 0.99 * ROWS["train"]
    assert not known & {row["message"] for row in rows["test"]}
    asides = [row for row in rows["test"] if "{" not in row["message"] and len(row["message"].split(". ")) > 2]
    assert len(asides) > 0.3 * ROWS["test"]


def test_a_seed_gives_the_same_bytes_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    for seed, same in ((0, True), (1, False)):
        out = tmp_path / str(seed)
        out.mkdir()
        make_messages(out, ROWS, seed)  # type: ignore[arg-type]
        assert (sha256_of(out / "test.jsonl") == sha256_of(made / "test.jsonl")) is same
