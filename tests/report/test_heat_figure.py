"""Heat maps: each cell is the recorded value of its layer and epoch."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import LAYERS, THOROUGH_EPOCHS

from infoplane.report.bits import in_bits
from infoplane.report.figure import NothingToSee
from infoplane.report.heat_figure import heat_figure, log_spaced


def rows_of(run, training="normal"):
    return in_bits(run.measurements()).filter(training=training)


@pytest.fixture(scope="module")
def figure(full_run):
    return heat_figure(rows_of(full_run), "title")


MAPS = {
    "original examples": ("decoded", "original"),
    "adversarial examples\ndecoders trained on clean": ("decoded-transfer", "adversarial"),
    "adversarial examples\ndecoders refitted": ("decoded", "adversarial"),
}


def test_each_cell_is_the_recorded_value_of_its_layer_and_epoch(figure, full_run):
    assert [axes.get_title("left") for axes in figure.axes[:3]] == list(MAPS)
    for axes in figure.axes[:3]:
        estimator, examples = MAPS[axes.get_title("left")]
        values = np.asarray(axes.images[0].get_array())
        assert values.shape == (len(LAYERS), len(THOROUGH_EPOCHS))
        for row, column in np.ndindex(values.shape):
            (nats,) = full_run.measurements().filter(
                training="normal", estimator=estimator, examples=examples, quantity="I(T;Y)",
                layer=LAYERS[row], epoch=THOROUGH_EPOCHS[column],
            )["value_nats"]  # fmt: skip
            assert values[row, column] == pytest.approx(nats / math.log(2))
            assert axes.texts[row * values.shape[1] + column].get_text() == f"{nats / math.log(2):.2f}"


def test_layers_go_down_and_epochs_to_the_right(figure):
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(LAYERS)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(epoch) for epoch in THOROUGH_EPOCHS]


def test_all_maps_share_one_scale_from_zero_to_the_entropy_of_labels(figure):
    for axes in figure.axes[:3]:
        norm = axes.images[0].norm
        assert (norm.vmin, norm.vmax) == pytest.approx((0, math.log2(10)))


def test_lightness_rises_with_the_value_so_that_no_colour_is_needed(figure):
    image = figure.axes[0].images[0]
    red, green, blue, _ = image.cmap(np.linspace(0, 1, 50)).T
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > 0).all()


def test_without_decoders_at_three_epochs_the_lower_bound_of_kde_is_drawn(full_run):
    rows = rows_of(full_run).filter(~pl.col("estimator").str.starts_with("decoded") | (pl.col("epoch") == 10))
    titles = [axes.get_title("left") for axes in heat_figure(rows, "title").axes[:-1]]
    assert titles == [
        f"{examples} examples\nKDE estimate (BD-BD), relative noise" for examples in ("original", "adversarial")
    ]


def test_one_epoch_and_full_ceilings_are_nothing_to_see(full_run):
    rows = rows_of(full_run)
    once = heat_figure(rows.filter(epoch=10), "title")
    assert once == NothingToSee("Only epoch 10 was measured, and a map over epochs needs two epochs.")
    kde = rows.filter(estimator="kde-bd", quantity="I(T;Y)").with_columns(saturated=pl.lit(True))
    assert heat_figure(kde, "title") == NothingToSee("All 5 layers are at the ceiling of 3.32 bits.")
    assert heat_figure(rows.clear(), "title") is None


def test_long_names_and_many_layers_have_room(full_run):
    rows = rows_of(full_run).filter(layer="fc3", estimator="decoded")
    many = [
        rows.with_columns(layer_index=pl.lit(i, pl.Int64), layer=pl.lit(f"block{i}.$x_{{<&{'long' * 9}{i}"))
        for i in range(40)
    ]
    figure = heat_figure(pl.concat(many, how="vertical_relaxed"), "title")
    assert figure.get_size_inches()[1] > 5
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == 40
    assert max(map(len, labels)) <= 16


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(2, 20))
def test_log_spaced_epochs_keep_the_ends_and_are_few(epochs, most):
    epochs = sorted(epochs)
    chosen = log_spaced(epochs, most)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(epochs)
    assert len(chosen) <= most
    assert (chosen[0], chosen[-1]) == (epochs[0], epochs[-1])


def test_epochs_of_a_long_training_are_denser_at_its_begin():
    assert log_spaced(range(201), 8) == [0, 1, 4, 9, 20, 43, 93, 200]


def test_decoders_at_two_epochs_are_drawn_rather_than_kde(full_run):
    rows = rows_of(full_run)
    few = rows.filter(~pl.col("estimator").str.starts_with("decoded") | pl.col("epoch").is_in([0, 10]))
    titles = [axes.get_title("left") for axes in heat_figure(few, "title").figure.axes[:3]]
    assert titles == list(MAPS)
