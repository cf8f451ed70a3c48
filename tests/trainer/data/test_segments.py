from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import UserError
from schemas.training.train_config import DataConfig
from trainer.data.segments import Piece, record_pieces

DATA = DataConfig.model_validate({"train": ["x.json"], "template": "question_answer"})
ROW = {"instruction": "Which day?", "input": "2023-01-01", "output": "Sunday"}


def test_a_record_becomes_its_prompt_and_its_answer() -> None:
    assert record_pieces(ROW, DATA, "row 1") == [
        Piece("Question: Which day?\n2023-01-01\nAnswer:", False),
        Piece(" Sunday", True),
    ]


@pytest.mark.parametrize("absent", [None, ""])
def test_an_input_without_a_value_adds_nothing(absent: Any) -> None:
    assert record_pieces({**ROW, "input": absent}, DATA, "row 1")[0].text == "Question: Which day?\nAnswer:"


@pytest.mark.parametrize("key", ["instruction", "input", "output"])
@pytest.mark.parametrize("value", [0, 1.5, float("nan"), False, ["a", "b"], {"a": 1}])
def test_what_is_not_text_is_refused_and_never_turned_into_some(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{key} is not text") as raised:
        record_pieces({**ROW, key: value}, DATA, "row 1")
    assert raised.value.where == "row 1"


@pytest.mark.parametrize("more", [{"system": "be brief"}, {"history": [["q", "a"]]}, {"tools": "[{}]"}])
def test_what_a_records_prompt_has_no_place_for_is_refused_and_never_left_out(more: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"has {next(iter(more))}"):
        record_pieces({**ROW, **more}, DATA, "row 1")
    assert record_pieces({**ROW, **dict.fromkeys(more, "")}, DATA, "row 1")[1].text == " Sunday"


def test_an_input_that_the_config_ignores_may_be_anything() -> None:
    data = DATA.model_copy(update={"input_field": None})
    assert record_pieces({**ROW, "input": 0}, data, "row 1")[0].text == "Question: Which day?\nAnswer:"


OWN = DataConfig.model_validate(
    {"train": ["x.json"], "prompt": "{{ team }}: {{ question }}\nA:", "answer_prefix": " ", "answer_field": "answer"}
)


def test_a_prompt_of_one_s_own_is_made_of_the_record_s_fields() -> None:
    row = {"team": "billing", "question": "Where?", "answer": "There.", "system": None}
    assert record_pieces(row, OWN, "row 1") == [Piece("billing: Where?\nA:", False), Piece(" There.", True)]


def test_a_field_that_the_prompt_uses_and_the_record_lacks_is_named_with_its_row() -> None:
    with pytest.raises(UserError, match=r"data\.prompt uses 'team', which this row does not have") as raised:
        record_pieces({"question": "Where?", "answer": "There."}, OWN, "rows.jsonl, row 17")
    assert raised.value.where == "rows.jsonl, row 17"
