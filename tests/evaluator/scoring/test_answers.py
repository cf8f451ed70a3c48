"""Whose stored answers an evaluation may reuse: those of the same weights, backend and packages."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.scoring.answers import Settings, _store_key, versions
from evaluator.subject import adapter_subject

SETTINGS = Settings("hf", "cpu", limit=None, batch_size=4, with_base=True, answers=Path("answers"))


@pytest.mark.parametrize(
    "change", [{"backend": "vllm"}, {"device": "cuda"}, {"merge": True}], ids=lambda change: next(iter(change))
)
def test_what_shapes_the_adapter_s_answers_gives_another_store(lora_run, change):
    subject = adapter_subject(lora_run, None, None)
    assert _store_key("adapter", subject, SETTINGS) != _store_key("adapter", subject, replace(SETTINGS, **change))


def test_what_changes_speed_only_keeps_the_store(lora_run):
    subject = adapter_subject(lora_run, None, None)
    faster = replace(SETTINGS, batch_size=64, limit=3, with_base=False)
    assert _store_key("base", subject, SETTINGS) == _store_key("base", subject, faster)
    assert _store_key("base", subject, SETTINGS) == _store_key("base", subject, replace(SETTINGS, merge=True))


def test_the_versions_of_what_shaped_an_answer_are_named():
    assert {"python", "torch", "transformers", "lm-eval"} <= set(versions())
