"""What a person sees while the server comes up."""

import io

import pytest
from rich.console import Console

from serving import progress


@pytest.fixture
def screen(monkeypatch):
    screen = Console(file=io.StringIO(), width=80)
    monkeypatch.setattr(progress, "console", screen)
    return screen.file


def test_brackets_in_a_complaint_are_its_own(screen):
    progress.complain("[red]x[/red] of [/y]", kind="unhealthy")
    assert screen.getvalue() == "unhealthy: [red]x[/red] of [/y]\n"


def test_a_step_is_ticked_only_when_it_is_done(screen):
    with progress.step("first"):
        assert screen.getvalue() == ""
    assert screen.getvalue().startswith("✓ first (")
    with pytest.raises(ValueError, match="second"), progress.step("second"):
        raise ValueError("second")
    assert "✓ second" not in screen.getvalue()
