import math

import numpy as np
import pytest
from tests.report import distorted as formulas
from tests.report.distorted import ESTIMATES, LEVELS, distorted_run

from infoplane.report.bits import distorted, in_bits
from infoplane.report.distortion_figure import distortion_figure, distortion_layers_figure

CONDITIONS = [(training, kind) for training in ("normal", "adversarial") for kind in ("original", "adversarial")]
CEILINGS = {"I(X;T)": math.log2(formulas.SAMPLES), "I(T;Y)": math.log2(10)}
PANELS = (0, 6, 1, 3, 4, 5)  # of the figure, top to bottom, as places in ESTIMATES


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return distorted_run(make_run, tmp_path_factory.mktemp("distorted") / "run")


@pytest.fixture(scope="module")
def tables(run):
    return in_bits(run.measurements(), of_distorted=True), distorted(run.performance())


@pytest.fixture(scope="module")
def figure(tables):
    return distortion_figure(*tables, "title")


def lines(axes):
    return {line.get_label(): line for line in axes.lines if "/" in str(line.get_label())}


def panels(figure, columns):
    return np.asarray(figure.axes).reshape(-1, columns)


def drawn(training, examples, distortion, place, layer):
    quantity, estimator, _, _ = ESTIMATES[place]
    top = CEILINGS[quantity]
    floor = -0.5 * top if estimator.startswith("decoded") else 0
    levels = range(len(LEVELS[distortion]))
    nats = [formulas.value(training, distortion, rank, examples, place, layer) for rank in levels]
    return [min(max(value / math.log(2), floor), top) for value in nats]


def test_distorted_rows_leave_the_other_reports_alone(run):
    assert in_bits(run.measurements())["distortion"].null_count() == len(in_bits(run.measurements()))
    assert set(in_bits(run.measurements(), of_distorted=True)["distortion"]) == set(LEVELS)


def test_every_curve_is_the_records_of_its_distortion_in_the_order_of_levels(figure):
    grid = panels(figure, len(LEVELS))
    for column, name in enumerate(LEVELS):
        for training, examples in CONDITIONS:
            levels = range(len(LEVELS[name]))
            found = lines(grid[0, column])[f"{training}/{examples}"]
            expected = [100 * formulas.accuracy(training, name, rank, examples) for rank in levels]
            assert found.get_ydata() == pytest.approx(expected)
            assert list(found.get_xdata()) == list(levels)
            assert lines(grid[1, column])[f"{training}/{examples}"].get_ydata() == pytest.approx(
                [0.1 + rank for rank in levels]
            )
            for row, place in enumerate(PANELS, start=2):
                found = lines(grid[row, column])[f"{training}/{examples}"].get_ydata()
                assert found == pytest.approx(drawn(training, examples, name, place, 1)), (row, name)


def test_levels_start_where_nothing_changes(figure):
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in panels(figure, len(LEVELS))[-1]]
    assert ticks == [["2", "8", "1024"], ["1", "2", "4", "7"], ["∞", "4", "0.5"]]


def test_intervals_nulls_and_ceilings_stand_with_the_curves(figure):
    axes = panels(figure, len(LEVELS))[5, 0]  # I(T;Y), KDE
    heights = {"null": [], "interval": []}
    for collection in axes.collections:
        points = collection.get_paths()[0].vertices[:, 1]
        heights[collection.get_label()].append((points.min(), points.max()))
    highest = [formulas.null(training, "adversarial") / math.log(2) for training in ("normal", "adversarial")]
    assert [top for _, top in heights["null"]] == pytest.approx(highest)
    first = [formulas.value("normal", "saturation", rank, "original", 3, 1) for rank in range(3)]
    expected = ((min(first) - 0.098) / math.log(2), (max(first) + 0.098) / math.log(2))
    assert heights["interval"][0] == pytest.approx(expected)
    assert any(line.get_ydata()[0] == pytest.approx(math.log2(10)) for line in axes.lines if not lines(axes).get(line))


def test_accuracy_has_the_interval_of_a_share(figure):
    axes = panels(figure, len(LEVELS))[0, 0]
    low = axes.collections[0].get_paths()[0].vertices[:, 1].min()
    worst = formulas.accuracy("normal", "saturation", 2, "original")
    assert low == pytest.approx(100 * (worst - 1.96 * math.sqrt(worst * (1 - worst) / formulas.SAMPLES)))


def test_decoders_that_are_confidently_wrong_are_marked_at_the_edge(figure):
    axes = panels(figure, len(LEVELS))[-1, 1]
    below = [line for line in axes.lines if line.get_label() == "below"]
    assert len(below) == 4
    for line in below:
        assert (list(line.get_xdata()), line.get_ydata()) == ([3], pytest.approx([-0.5 * math.log2(10)]))


def test_curves_and_nulls_differ_without_colours(figure):
    axes = panels(figure, len(LEVELS))[5, 0]
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines(axes).values()}
    assert looks == {("-", "o"), ("--", "x")}
    hatches = [one.get_hatch() for one in axes.collections if one.get_label() == "null"]
    assert len(set(hatches)) == 2


def test_noisy_information_stands_at_relative_noise_or_at_the_fixed_one_where_that_is_all(tables, figure):
    rows, performance = tables
    assert panels(figure, len(LEVELS))[3, 0].get_ylabel() == "I(X;T), bits\nMonte Carlo,\nrelative noise"
    older = distortion_figure(rows.remove(estimator="noisy@relative"), performance, "title")
    axes = panels(older, len(LEVELS))[3, 0]
    assert axes.get_ylabel() == "I(X;T), bits\nMonte Carlo,\nfixed noise"
    assert lines(axes)["normal/original"].get_ydata() == pytest.approx(drawn("normal", "original", "saturation", 2, 1))


def test_the_lower_of_two_curves_on_each_other_stays_visible(figure):
    for axes in panels(figure, len(LEVELS))[[0, 2], 0]:
        lower, upper = (lines(axes)[f"{training}/original"] for training in ("normal", "adversarial"))
        assert list(lines(axes)).index("normal/original") < list(lines(axes)).index("adversarial/original")
        assert lower.get_linewidth() >= 2 * upper.get_linewidth()
        assert lower.get_markersize() >= upper.get_markersize() + 2


def test_what_was_not_measured_is_said(tables):
    rows, performance = tables
    figure = distortion_figure(rows.remove(estimator="decoded"), performance, "title")
    assert [text.get_text() for text in panels(figure, len(LEVELS))[6, 0].texts] == ["not measured"]


def test_all_layers_are_drawn_side_by_side(tables):
    figure = distortion_layers_figure(tables[0], "shuffling", "title")
    grid = panels(figure, 2)
    assert [axes.get_title(loc="left") for axes in grid[0]] == ["fc2", "fc3"]
    for layer in range(2):
        for row, place in enumerate((0, 1, 3, 5)):
            for training, examples in CONDITIONS:
                found = lines(grid[row, layer])[f"{training}/{examples}"].get_ydata()
                assert found == pytest.approx(drawn(training, examples, "shuffling", place, layer))
