"""A figure as SVG that follows the page: its variables for colours, its font, names for those who listen."""

import re
from xml.etree import ElementTree as ET

from evaluator.report.themed_svg import INK, SERIES, figure, series_colour, to_svg


def drawn(label="a < b & c"):
    with figure(1.5) as made:
        axes = made.subplots()
        axes.plot([0, 1], [0, 1], color=series_colour(0))
        axes.axvline(0.5, color=INK)
        axes.set_xlabel(label)
        return str(to_svg(made, "test", 'said "so"'))


def test_colours_are_variables_of_the_page():
    text = drawn()
    assert {"var(--series-0)", "var(--ink)", "var(--font)"} <= set(re.findall(r"var\(--[\w-]+\)", text))
    assert not re.search("#0[1-9a]0[1-9a]0[1-9a]", text)


def test_it_is_well_formed_described_and_scales():
    root = ET.fromstring(drawn())
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", 'said "so"')
    assert "width" not in root.attrib
    assert "a < b & c" in "".join(root.itertext())


def test_equal_figures_give_equal_bytes():
    assert drawn() == drawn()


def test_more_series_than_colours_start_again():
    assert series_colour(len(SERIES)) == series_colour(0)
