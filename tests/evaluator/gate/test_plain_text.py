"""Whatever a task or run is called, it stays a name."""

from __future__ import annotations

import pytest

from evaluator.gate.plain_text import Formatted, markdown, one_line


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\r\n## pass", "bell\x07", "\x1b[31mred", "\u2028line", "\u202eright to left", "\ud800", "a\x00b"],
)
def test_one_line_holds_no_character_that_is_not_seen(text: str) -> None:
    line = one_line(text)
    assert len(line) == len(text)
    assert line.isprintable()
    line.encode()


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<img src=x onerror=alert(1)>", "<img"),
        ("@octo-org/everyone", "@octo-org"),
        ("![p](http://e.example/p.png)", "![p]("),
        ("[click](javascript:alert(1))", "]("),
        ("[a][b]", "]["),
        ("http://e.example", "http://e"),
        ("www.e.example", "www.e"),
        ("closes #12", "#12"),
        ("a|b", "a|b"),
        ("a\\\\|b", "a\\\\|b"),
        ("`code`", "a`"),
        ("$x$", "$"),
        ("**bold** ~~gone~~", "**bold**"),
        ("_slanted_", " _"),
        ("&lt;script>", "&lt;s"),
        ("a\n# heading", "\n"),
    ],
)
def test_what_markdown_would_act_on_is_shown(text: str, never: str) -> None:
    assert never not in " " + markdown(text)


def test_names_and_figures_are_left_as_they_are() -> None:
    usual = "arc_easy: -13.0 points against quickstart-lora, 95 % interval [-18.1, -8.0] all below -5.0"
    assert markdown(usual) == usual


def test_our_own_formatting_stays() -> None:
    assert markdown(Formatted("**macro**")) == "**macro**"
