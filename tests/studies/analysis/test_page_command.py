"""Results that are kept without their runs still have a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studies.analysis.page_command import main

RESULTS = Path("configs/studies/results")


@pytest.mark.parametrize("name", ["small", "ablations"])
def test_a_kept_report_makes_its_page(name, tmp_path, capsys):
    assert main([str(RESULTS / name), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert f"Study: {name}" in page
    labels = [label.split()[0] for label in re.findall('<svg role="img" aria-label="([^"]+)"', page)]
    assert labels == ["Paired", "Macro"]  # learning curves need the runs
    assert str(tmp_path / "page.html") in capsys.readouterr().out
