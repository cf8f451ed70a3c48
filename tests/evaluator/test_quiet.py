"""The terminal is left to our own bars and tables."""

import logging
import os

from evaluator.quiet import quiet_libraries


def test_bars_and_notices_of_libraries_are_off_unless_asked_for(monkeypatch):
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    quiet_libraries()
    assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
    assert logging.getLogger("lm_eval").level == logging.ERROR
