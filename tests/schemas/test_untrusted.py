"""Whatever bytes a parser is given, it returns or raises a UserError, in bounded time."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import UserError


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("untrusted", Path(__file__).with_name("untrusted.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules["untrusted"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


untrusted = _load()


def survives(parser: str, raw: bytes) -> bool:
    """Whether the bytes were accepted; any exception but UserError goes through, and five seconds are too long."""
    began = time.process_time()
    try:
        untrusted.PARSERS[parser].read(raw)
    except UserError:
        return False
    finally:
        assert time.process_time() - began < 5
    return True


@pytest.mark.parametrize("parser", untrusted.PARSERS)
def test_whole_inputs_are_accepted(parser: str) -> None:
    assert all(survives(parser, seed) for seed in untrusted.PARSERS[parser].seeds)


@pytest.mark.parametrize("parser", untrusted.PARSERS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(min_value=0))
def test_damaged_inputs_are_accepted_or_refused(parser: str, number: int) -> None:
    draw = random.Random(number)
    survives(parser, untrusted.mutated(draw.choice(untrusted.PARSERS[parser].seeds), draw))


@pytest.mark.parametrize("parser", untrusted.PARSERS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_accepted_or_refused(parser: str, raw: bytes) -> None:
    survives(parser, raw)
