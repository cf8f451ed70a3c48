"""Agreement is of two backends or more, on at least one pair."""

import pytest
from pydantic import ValidationError

from schemas.evaluation.agreement_report import BackendPace, PairAgreement, Share
from schemas.evaluation.eval_report import Interval

INTERVAL = Interval(low=0.9, high=1.0, level=0.95)
ALL = Share(count=20, total=20, share=1.0, interval=INTERVAL)


def test_a_backend_that_was_not_asked_anything_has_no_pace():
    pace = BackendPace(macro=0.5, asked=0, seconds=0.0, samples_per_second=None, protocol="greedy")
    assert pace.samples_per_second is None


def test_a_share_of_no_items_is_refused():
    with pytest.raises(ValidationError, match="total"):
        Share(count=0, total=0, share=0.0, interval=INTERVAL)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValidationError, match="second"):
        PairAgreement(
            first="hf", second="llama.cpp", equal_outputs=ALL, equal_answers=ALL, equal_outcomes=ALL,
            token_agreement=1.0, token_interval=INTERVAL, score_difference=0.0,
        )  # fmt: skip
