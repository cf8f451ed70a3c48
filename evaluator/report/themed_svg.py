"""matplotlib figures as inline SVG that follows the page: its colours (light and dark) and its font.

matplotlib draws in marker colours that appear nowhere else; in the SVG text each is replaced by a CSS variable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a")
"""Base, baseline, and the others."""
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}
SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a task may be called anything, dollar signs and all
    "font.size": 11,
    "axes.titlesize": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": GRID,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
WIDTH = 6.6


def series_colour(index: int) -> str:
    """Marker colour of a group, by its row in the table."""
    return SERIES[index % len(SERIES)]


@contextmanager
def figure(height: float) -> Iterator[Figure]:
    """A figure of the page's width; `height` in inches of 72 units."""
    with mpl.rc_context(SETTINGS):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def to_svg(drawn: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element; `name` keeps its ids apart from those of other figures on the page."""
    buffer = io.StringIO()
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": name}):
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", text)  # in `font:` and in `font-family:`
    size = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    head = (
        f'<svg role="img" aria-label="{escape(description)}" style="max-width:{float(size[1]) * 1.25:.0f}px"'
        if size
        else "<svg"
    )
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text, count=1)
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", text, count=1)
    # A stroke or fill given as a presentation attribute does not take CSS variables; matplotlib writes styles only.
    return Markup(text.replace("<svg", head, 1))  # noqa: S704 - matplotlib escapes every text it draws
