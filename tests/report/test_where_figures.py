"""Figures and tables of lost labels from planted records: few layers, many attacks, odd names."""

import io

import polars as pl
import pytest
from rich.console import Console
from tests.findings.test_where_shares import LAYERS, layers_of, planted

from infoplane.report.page_where import where_html
from infoplane.report.style import figure_style
from infoplane.report.where_figure import where_curves_figure, where_shares_figure
from infoplane.report.where_table import where_tables
from infoplane.runs.where_files import Where

ODD = "$a<b>&'“é”" * 6


def found(pointwise: pl.DataFrame, **options) -> Where:
    return Where(pointwise, layers_of(pointwise, **options))


def printed(where: Where) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(where_tables(where))
    return console.export_text()


def test_bars_have_the_height_of_the_shares():
    where = found(planted({"original": [3] * 20, "adversarial": [1] * 15 + [3] * 5}))
    with figure_style():
        (axes,) = where_shares_figure(where, "Lost").axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers if hasattr(bars, "patches")]
    assert heights[0] == pytest.approx([0, 0, 0, 0, 100])
    assert heights[1] == pytest.approx([0, 0, 75, 0, 25])
    assert heights[2] == pytest.approx([99, 0, 0, 0, 1])  # permuted labels


def test_one_layer_no_attack_and_no_permutations_are_drawn():
    table = planted({"original": [3] * 9 + [0] * 3}).filter(pl.col("layer") == LAYERS[0])
    where = found(table, permutations=0)
    with figure_style():
        (shares,) = where_shares_figure(where, "Lost").axes
        (curves,) = where_curves_figure(where, "Information").axes
        shares.figure.canvas.draw()
    assert len(shares.get_xticks()) == 3
    assert [line.get_label() for line in curves.lines].count("misclassified") <= 3  # three examples, one by one
    assert "-" in printed(where)


def test_many_attacks_fit_figure_terminal_and_page():
    kinds = {"original": [3] * 12, **{name: [1] * 12 for name in ("adversarial", "bim", "cw", "fgsm", ODD)}}
    where = found(planted(kinds))
    where = where._replace(
        layers=where.layers.with_columns(attack=pl.when(pl.col("examples") != "original").then(pl.col("examples")))
    )
    with figure_style():
        figures = where_shares_figure(where, ODD), where_curves_figure(where, ODD)
        for figure in figures:
            figure.canvas.draw()
    assert [len(figure.axes) for figure in figures] == [1, 4]
    text = printed(where)
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("label lost at") == 3
    page = where_html(where, "", ["<b>"] * 3)
    assert "<b>" not in page
    assert "More sentences" in page
