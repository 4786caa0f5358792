"""The study's own figures show the records by its estimators alone, and stand beside ours on one page."""

import math

import numpy as np
import polars as pl
import pytest
from tests.report import distorted as formulas
from tests.report.distorted import LEVELS, distorted_run
from tests.report.test_sweep_figures import rows_of

from infoplane.commands.cli import main
from infoplane.records.sweeps import CLOSED_FORM, CONTINUOUS_LIMIT, DISCRETE_LIMIT, PICTURES, sweep_table
from infoplane.records.tables import BINNING, INPUT_INFORMATION, KDE_BD, KDE_KL
from infoplane.report.bits import distorted, in_bits, plane_points
from infoplane.report.study_export import write_study_style
from infoplane.report.study_style import clouds, flow, limits
from infoplane.report.study_style import distorted as distorted_figure
from infoplane.report.style import figure_style


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return distorted_run(make_run, tmp_path_factory.mktemp("study") / "run")


def test_planes_show_raw_values_of_the_three_estimators_without_ceilings_or_nulls(full_run):
    rows = in_bits(full_run.measurements()).filter(training="normal")
    with figure_style():
        figure = flow(plane_points(rows), full_run.performance().filter(training="normal"), "title")
    planes = figure.axes[4:-1]
    assert len(planes) == 3 * 5
    for row, estimator in enumerate((KDE_KL, KDE_BD, BINNING)):
        axes = planes[5 * row + 2]  # fc1
        assert (axes.lines[:], axes.patches[:]) == ([], [])
        for place, examples in enumerate(("original", "adversarial")):
            own = rows.filter(layer="fc1", estimator=estimator, examples=examples).sort("epoch")
            expected = [
                own.filter(quantity=quantity, kind=own.filter(quantity=quantity)["kind"][0])["value_bits"].to_list()
                for quantity in ("I(X;T)", "I(T;Y)")
            ]
            offsets = np.asarray(axes.collections[place].get_offsets())
            assert offsets == pytest.approx(np.array(expected).T)


def test_figure_5_is_drawn_by_the_lower_estimate_of_kde(run):
    rows, performance = in_bits(run.measurements(), of_distorted=True), distorted(run.performance())
    with figure_style():
        figure = distorted_figure(rows, performance, "title")
    axes = np.asarray(figure.axes).reshape(4, 2)
    for column, name in enumerate(("saturation", "shuffling")):
        for row, place in ((2, 0), (3, 3)):
            curves = {line.get_label(): line.get_ydata() for line in axes[row, column].lines}
            for training in ("normal", "adversarial"):
                for examples in ("original", "adversarial"):
                    levels = range(len(LEVELS[name]))
                    nats = [formulas.value(training, name, rank, examples, place, 1) for rank in levels]
                    assert curves[f"{training}/{examples}"] == pytest.approx([one / math.log(2) for one in nats])


def pictured():
    measured = sweep_table(rows_of(PICTURES, (KDE_KL, KDE_BD, BINNING), xs=(1.0, 4.0)))
    points = pl.DataFrame({"picture": [1, 1, 4], "x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0], "label": [0, 1, 0]})
    return measured, points


def test_figure_6_writes_the_estimates_above_each_cloud():
    measured, points = pictured()
    with figure_style():
        figure = clouds(measured, points)
    first = measured.filter(x=1.0, replicate=0, estimator=KDE_KL, quantity=INPUT_INFORMATION)["value_nats"][0]
    assert f"upper: I(X;T) {first / math.log(2):.2f}, I(T;Y)" in figure.axes[0].get_title(loc="left")
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]


def closed_form():
    sweeps = [rows_of(name, (CLOSED_FORM,), (INPUT_INFORMATION,)) for name in (DISCRETE_LIMIT, CONTINUOUS_LIMIT)]
    return sweep_table(row for one in sweeps for row in one)


@pytest.fixture
def closed(monkeypatch):
    from tests.report import test_sweep_figures

    monkeypatch.setitem(test_sweep_figures.RANK, CLOSED_FORM, 1.0)
    return closed_form().filter(replicate=0)


def test_figure_7_is_the_closed_form(closed):
    with figure_style():
        figure = limits(closed)
    for axes, sweep in zip(figure.axes, (DISCRETE_LIMIT, CONTINUOUS_LIMIT), strict=True):
        expected = closed.filter(sweep=sweep).sort("x")["value_nats"] / math.log(2)
        assert axes.lines[0].get_ydata().tolist() == pytest.approx(expected.to_list())


def test_the_page_shows_ours_beside_the_study_and_names_what_is_missing(run, tmp_path):
    page = write_study_style(run, tmp_path)
    assert page == tmp_path / "study-style" / "study.html"
    text = page.read_text()
    # two trainings and one seed, each with ours beside it
    assert text.count("<img ") == 2 * (2 + 1)
    assert f"Figure 6 has no records: infoplane geometry --output {run.path}/sweeps" in text
    assert f"Figure 7 has no records: infoplane limits --output {run.path}/limits" in text
    assert "Figure 5 has no records" not in text
    kinds = {path.name for path in page.parent.glob("*.png")}
    assert {"figure-4-normal-s3.png", "figure-5-s3.png", "information-flow-normal-s3.png"} <= kinds


@pytest.mark.parametrize(
    ("style", "printed"), [("study", ["report.html", "study.html"]), ("infoplane", ["report.html"])]
)
def test_the_command_prints_the_pages_that_it_makes(style, printed, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_report", lambda run, found, output, **_: output / "report.html")
    monkeypatch.setattr("infoplane.report.study_export.write_study_style", lambda run, output: output / "study.html")
    assert main(["report", str(run.path), "--style", style, "--output", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[-len(printed) :]
    assert lines == [str(tmp_path / name) for name in printed]
