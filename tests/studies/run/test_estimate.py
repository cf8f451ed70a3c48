"""A study's estimate counts every run before any is started."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from studies.run.estimate import estimate
from studies.run.protocol import draft_protocol


def test_the_estimate_counts_every_run(make_study: Any) -> None:
    study = make_study()
    console = Console(record=True, width=200, file=io.StringIO())
    total = estimate(study, console)
    runs = sum(one.cost.flops for one in draft_protocol(study).protocol.arms) * (2 + 2)
    assert total == pytest.approx(runs)
    assert "runs       20:" in console.export_text()
