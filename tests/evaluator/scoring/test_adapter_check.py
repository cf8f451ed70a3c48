"""An adapter that changed no answer was not applied."""

import pytest

from evaluator.scoring.adapter_check import require_that_the_adapter_acts
from schemas.errors import UserError


def logged(*texts):
    return {"t": [{"doc_id": n, "filter": "none", "resps": [[text]]} for n, text in enumerate(texts)]}


def test_equal_answers_on_enough_items_are_refused():
    with pytest.raises(UserError, match="equal the base's on all 8 items"):
        require_that_the_adapter_acts({"base": logged(*"abcdefgh"), "adapter": logged(*"abcdefgh")})


@pytest.mark.parametrize(
    ("base", "adapter"),
    [("abcdefgh", "abcdefgX"), ("abc", "abc"), ([""] * 8, [""] * 8)],
    ids=["one differs", "too few items", "nothing was said"],
)
def test_what_may_be_an_adapter_at_work_is_not(base, adapter):
    require_that_the_adapter_acts({"base": logged(*base), "adapter": logged(*adapter)})


def test_one_variant_alone_is_not_judged():
    require_that_the_adapter_acts({"adapter": logged(*"abcdefgh")})
