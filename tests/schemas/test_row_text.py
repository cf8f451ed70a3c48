"""Texts over a row: sandboxed, strict, and kept to the byte."""

import pytest

from schemas.errors import UserError
from schemas.row_text import RowText, same_text


def text(source, **row):
    return RowText(source, "tasks.one.prompt", "suite.yaml")(row, "rows.jsonl, row 1")


def test_white_space_and_markup_stay_as_they_are():
    assert text(" {{ a }} <b> & {{ a }}\n\n", a="x<y") == " x<y <b> & x<y\n\n"


def test_jinja_s_own_words_work():
    assert text("{% for x in xs %}{{ loop.index }}.{{ x | upper }} {% endfor %}", xs=["a", "b"]) == "1.A 2.B "
    assert text("{{ hint | default('none') }}") == "none"


@pytest.mark.parametrize("source", ["{{ a.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ a.append(1) }}"])
def test_nothing_behind_a_value_can_be_reached_or_changed(source):
    with pytest.raises(UserError, match=r"tasks\.one\.prompt"):
        text(source, a=[])


def test_white_space_inside_a_tag_makes_no_other_text_and_outside_it_does():
    assert same_text("Q: {{question}}", "Q: {{  question }}")
    assert not same_text("Q: {{ question }}", "Q:  {{ question }}")
    assert not same_text("Q: {{ question }}", "Q: {{ questions }}")
