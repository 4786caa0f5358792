"""SVG of figures: short, with text that stays text."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from infoplane.report.figure_formats import figure_bytes
from infoplane.report.style import figure_style, plain

NAMES = '<b> & "q" it\'s $x$ 0.123456 \u6f22 \u221e'


@pytest.fixture(scope="module")
def drawn():
    with figure_style():
        figure = Figure(figsize=(2, 2))
        axes = figure.subplots()
        axes.plot([0.1, 0.9, 0.2, 0.77, 0.31], [0.2, 0.9, 0.1, 0.66, 0.4])
        axes.imshow(np.eye(3), extent=(0, 1, 0, 1), aspect="auto")
        axes.set_title(plain(NAMES))
        return figure, figure_bytes(figure, "svg").decode()


def test_names_stay_text_whatever_characters_they_have(drawn):
    _, text = drawn
    words = [
        "".join(one.itertext()).strip() for one in ElementTree.fromstring(text).iter() if one.tag.endswith("}text")
    ]
    assert NAMES in words


def test_coordinates_have_at_most_two_decimals_and_numbers_in_text_keep_theirs(drawn):
    _, text = drawn
    paths = re.findall(r' d="([^"]*)"', text)
    assert len(paths) > 5
    assert not any(re.search(r"\.\d{3}", path) for path in paths)
    assert "0.123456" in text


def test_a_curve_is_where_matplotlib_draws_it(drawn):
    figure, text = drawn
    axes = figure.axes[0]
    expected = axes.transData.transform(axes.lines[0].get_xydata()) * 72 / figure.dpi
    expected[:, 1] = 144 - expected[:, 1]  # SVG counts from the top, in points
    (path,) = re.findall(r'<g id="line2d_\d+">\s*<path d="([^"]*)" clip-path', text)
    points = np.array(re.findall(r"[ML] (\S+) (\S+)", path), float)
    assert points == pytest.approx(expected, abs=0.005 + 1e-9)


def test_equal_figures_give_equal_bytes(drawn):
    figure, text = drawn
    with figure_style():
        assert figure_bytes(figure, "svg").decode() == text
