"""Figures of a run with every method: all told apart, nothing cut off, no figure wider than a screen."""

from dataclasses import replace

import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from tests.report.test_mistakes_figure import mistakes, performance

from infoplane.records.tables import TRUE_INFORMATION, measurement_table, performance_table
from infoplane.report.bits import in_bits, plane_points
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.labels import training_label
from infoplane.report.mistakes_figure import mistakes_figure, transfer_figure
from infoplane.report.style import COLOURS, figure_style, layer_grid, stacked
from infoplane.training.catalogue import METHODS

TRAININGS = [*(spec.name for spec in METHODS), "adversarial+awp", "trades+awp"]
assert len(TRAININGS) == 17


def test_each_training_has_a_colour_of_its_own():
    assert len(set(COLOURS)) == len(COLOURS) >= len(TRAININGS)
    colours = [to_rgb(colour) for colour in COLOURS]
    apart = [
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for number, one in enumerate(colours)
        for other in colours[:number]
    ]
    assert min(apart) > 0.2


@pytest.mark.parametrize("number", range(1, 18))
def test_curves_upon_each_other_get_narrower_and_none_hides_a_panel(number):
    widths = [stacked(rank, number)["linewidth"] for rank in range(number)]
    assert widths == sorted(set(widths), reverse=True)
    assert widths[-1] == 1.1
    assert widths[0] <= 1.1 + 3 * 1.6


@pytest.mark.parametrize("entries", [1, 8, 9, 18, 30])
def test_a_legend_is_whole_and_below_the_axes(entries):
    names = [training_label(TRAININGS[number % 17]) for number in range(entries)]
    with figure_style():
        figure, axes = layer_grid("title", [(0, "a"), (1, "b")], 3, 1.2, [Line2D([], [], label=name) for name in names])
        drawn = FigureCanvasAgg(figure)
        drawn.draw()
        box = figure.legends[0].get_window_extent()
        lowest = min(one.get_tightbbox(drawn.get_renderer()).y0 for one in axes.flat)
    assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
    assert 0 <= box.y0 <= box.y1 <= lowest
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_panels_of_many_trainings_stand_in_rows():
    matrices = transfer_figure(performance_table([performance(name) for name in TRAININGS[:10]]), "title")
    rows = [mistakes(name, 0.5, quantity=TRUE_INFORMATION) for name in TRAININGS[:10]]
    rows += [replace(row, distortion="saturation", level=level) for row in rows for level in (2.0, 8.0)]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    assert max(matrices.get_figwidth(), figure.get_figwidth()) < 20
    titles = [axes.get_title(loc="left").split(" training")[0] for axes in matrices.axes[:10]]
    assert sorted(titles) == sorted(TRAININGS[:10])
    assert len({axes.get_position().bounds for axes in matrices.axes}) == 11
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3 * 10
    assert all(axes.lines for axes in shown)
    heads = [axes.get_title(loc="left").split(" training")[0] for axes in shown if axes.get_title(loc="left")]
    assert sorted(heads) == sorted(TRAININGS[:10])


def test_many_nulls_share_one_line_of_the_legend(full_run):
    points = plane_points(in_bits(full_run.measurements()))

    def legend(trainings: list[str]) -> list[str]:
        copies = [points.filter(training="normal").with_columns(training=pl.lit(name)) for name in trainings]
        return [text.get_text() for text in comparison_figure(pl.concat(copies), "t").legends[0].get_texts()]

    assert legend(TRAININGS[:3]).count("its null") == 3
    assert [name for name in legend(TRAININGS) if "null" in name] == ["their nulls"]
