"""The answer in a text, in every way that a suite file names."""

import pytest

from evaluator.scoring.reading import reader_of, to_number
from schemas.evaluation.suite_file import AfterMarker, JsonField, NumberAnswer, RegexAnswer, WholeAnswer

RATIO = RegexAnswer(kind="regex", pattern=r"is (\w+)")


@pytest.mark.parametrize(
    ("answer", "text", "read"),
    [
        (WholeAnswer(), " Paris \n", "Paris"),
        (WholeAnswer(), " \n", None),
        (RATIO, "it is Rome, is Paris", "Rome"),
        (RATIO.model_copy(update={"last": True}), "it is Rome, is Paris", "Paris"),
        (RATIO.model_copy(update={"group": 0}), "it is Rome", "is Rome"),
        (RATIO, "no", None),
        (RegexAnswer(kind="regex", pattern=r"(a)|b"), "b", None),
        (AfterMarker(kind="after", marker="####"), "1 #### 2\n#### 1,234 \nmore", "1,234"),
        (AfterMarker(kind="after", marker="####"), "1234", None),
        (AfterMarker(kind="after", marker="####"), "####\n", None),
        (JsonField(kind="json_field", field="a.b"), 'so {"a": {"b": "x"}}.', "x"),
        (JsonField(kind="json_field", field="a"), '{not} {"a": [1, true]}', "[1, true]"),
        (JsonField(kind="json_field", field="a.c"), '{"a": {"b": 1}}', None),
        (JsonField(kind="json_field"), "nothing", None),
        (NumberAnswer(kind="number"), "of 3 there are 1,250.50 left.", "1,250.50"),
        (NumberAnswer(kind="number"), "none", None),
    ],
)
def test_the_answer_is_read(answer, text, read):
    assert reader_of(answer)(text) == read


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-3", -3),
        ("5.", 5),
        (".5", 0.5),
        ("1e-4", 1e-4),
        ("$5,000.00.", 5000),
        ("3 of 12,34", 34),
        ("1e999", None),
        ("x", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    assert to_number(text) == number
