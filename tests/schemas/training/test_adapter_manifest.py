"""A manifest's probes are what a server is held against, so they must be whole."""

import pytest
from pydantic import ValidationError

from schemas.training.adapter_manifest import Probe

PROBE = {"prompt": "a", "token_ids": (1, 2, 3), "prompt_tokens": 2, "base": (-1.0, -2.0), "adapter": (-1.0, -0.5)}


def test_a_probe_has_one_log_probability_per_predicted_token():
    assert Probe(**PROBE).adapter == (-1.0, -0.5)
    with pytest.raises(ValidationError, match="one log-probability per token after the first"):
        Probe(**PROBE | {"adapter": (-1.0,)})


def test_a_probe_without_an_answer_is_refused():
    with pytest.raises(ValidationError, match="leaves no answer token"):
        Probe(**PROBE | {"prompt_tokens": 3})


def test_a_log_probability_that_is_no_number_is_refused():
    with pytest.raises(ValidationError, match="finite"):
        Probe(**PROBE | {"base": (-1.0, float("nan"))})
