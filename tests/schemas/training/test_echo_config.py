"""The echo's settings: what was hashed before a key existed keeps its hash, and a changed key changes it."""

from __future__ import annotations

import pytest

from schemas.training.echo_config import EchoConfig, echo_in_first_words

LATER = {
    "pooling": "question",
    "normalisation": "centred",
    "gradient_to_echo": True,
    "learn_scale": True,
    "dropout": 0.1,
    "weight_decay": 0.1,
}


def test_a_default_is_hashed_as_if_its_key_were_not_there() -> None:
    words = echo_in_first_words(EchoConfig().model_dump(mode="json"))
    assert not set(words) & {*LATER, "pooled_tokens", "statistics_rate"}
    assert set(words["distillation"]) == {"weight", "temperature", "teacher", "representations"}
    assert words["gate_bias"] == -2.0


@pytest.mark.parametrize("key", LATER)
def test_a_setting_that_came_later_is_hashed_where_it_is_used(key: str) -> None:
    words = echo_in_first_words(EchoConfig(**{key: LATER[key]}).model_dump(mode="json"))
    assert words[key] == LATER[key]


def test_statistics_are_kept_where_something_is_centred() -> None:
    assert not EchoConfig().keeps_statistics
    assert EchoConfig(normalisation="centred").keeps_statistics
    assert not EchoConfig(normalisation="centred", content="none").keeps_statistics
