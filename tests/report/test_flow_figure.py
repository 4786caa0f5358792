import math

import numpy as np
import polars as pl
import pytest
from matplotlib.markers import MarkerStyle

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits, plane_points
from infoplane.report.flow_figure import information_flow_figure, relative_noise_figure
from infoplane.report.labels import RELATIVE_ESTIMATORS, STUDY_ESTIMATORS

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


def draw(run, training="normal"):
    own = pl.col("training") == training
    points = plane_points(in_bits(run.measurements())).filter(own)
    return information_flow_figure(points, run.performance().filter(own), "title")


def planes(figure, layers=LAYERS):
    """The planes by (estimator, layer); they follow the four panels of the first row."""
    axes = figure.axes[4 : 4 + len(STUDY_ESTIMATORS) * len(layers)]
    keys = [(estimator, layer) for estimator in STUDY_ESTIMATORS for layer in layers]
    return dict(zip(keys, axes, strict=True))


def recorded(run, training, examples, estimator, layer, quantity, ceiling):
    rows = run.measurements().filter(
        training=training, examples=examples, estimator=estimator, layer=layer, quantity=quantity
    )
    rows = rows.remove(noise_mode="relative").remove(noise_mode="sweep")
    return np.clip(rows.sort("epoch")["value_nats"].to_numpy() / math.log(2), 0, ceiling)


@pytest.fixture(scope="module", params=["normal", "adversarial"])
def drawn(request, full_run):
    return request.param, draw(full_run, request.param)


@pytest.mark.parametrize("examples", ["original", "adversarial"])
def test_every_plane_draws_the_records_of_its_layer_estimator_and_examples(full_run, drawn, examples):
    training, figure = drawn
    for (estimator, layer), axes in planes(figure).items():
        (scatter,) = [collection for collection in axes.collections if collection.get_label() == examples]
        key = (full_run, training, examples, estimator, layer)
        expected = np.column_stack(
            [recorded(*key, INPUT_INFORMATION, math.log2(1000)), recorded(*key, LABEL_INFORMATION, math.log2(10))]
        )
        assert np.asarray(scatter.get_offsets()) == pytest.approx(expected)
        assert list(scatter.get_array()) == list(range(11))


def test_original_examples_are_circles_and_adversarial_ones_crosses(drawn):
    _, figure = drawn
    axes = planes(figure)["kde-kl", "fc3"]
    shapes = {scatter.get_label(): scatter.get_paths()[0].vertices for scatter in axes.collections}
    for examples, marker in (("original", MarkerStyle("o")), ("adversarial", MarkerStyle("x"))):
        expected = marker.get_path().transformed(marker.get_transform()).vertices
        assert np.array_equal(shapes[examples], expected)


def test_ceilings_stand_at_log_n_and_at_the_entropy_of_labels(drawn):
    _, figure = drawn
    for axes in planes(figure).values():
        lines = {line.get_label(): line for line in axes.lines}
        words = [text.get_text().strip() for text in axes.texts]
        for name, ceiling, word, ends in (
            ("ceiling of I(X;T)", math.log2(1000), "max 9.97", axes.get_xlim()),
            ("H(Y)", math.log2(10), "H(Y) 3.32", axes.get_ylim()),
        ):
            if ceiling <= ends[1]:
                line = lines[name]
                assert (line.get_xdata() if "X" in name else line.get_ydata())[0] == pytest.approx(ceiling)
                assert word in words
            else:  # far above all values, and so beyond the axis
                assert name not in lines
                assert words.count(f"{word} →") + words.count(f"{word} ↑") == 1


def test_the_null_band_ends_at_the_recorded_quantile(drawn):
    _, figure = drawn
    bands = [patch for patch in planes(figure)["kde-bd", "fc1"].patches if patch.get_label() == "null"]
    # Depth 0.5: 0.9 - 0.85 / 2 of H(Y), in the run's formula.
    assert [band.get_y() + band.get_height() for band in bands] == pytest.approx([0.475 * math.log2(10)] * 2)


def test_only_values_outside_their_range_are_marked_as_clipped(drawn):
    _, figure = drawn
    marked = {key: [c for c in axes.collections if c.get_label() == "clipped"] for key, axes in planes(figure).items()}
    assert {key for key, found in marked.items() if found} == {("binning", "fc3")}
    (squares,) = marked["binning", "fc3"]
    assert [y for _, y in squares.get_offsets()] == [0, 0]  # original and adversarial at epoch 0


def test_loss_and_accuracy_are_those_of_the_records(full_run, drawn):
    training, figure = drawn
    loss, accuracy = figure.axes[:2]
    for axes, column, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        curves = {line.get_label(): line for line in axes.lines}
        assert set(curves) == {"train", "test", "test, adversarial"}
        rows = full_run.performance().filter(training=training, split="test", examples="adversarial").sort("epoch")
        assert curves["test, adversarial"].get_ydata() == pytest.approx((rows[column] * scale).to_list())


def test_information_over_depth_has_one_line_per_epoch(full_run, drawn):
    training, figure = drawn
    (lines,) = [collection for collection in figure.axes[2].collections if collection.get_label() == "original"]
    assert list(lines.get_array()) == list(range(11))
    rows = full_run.measurements().filter(
        training=training, examples="original", estimator="kde-kl", quantity=INPUT_INFORMATION, epoch=7,
        noise_mode="fixed",
    )  # fmt: skip
    expected = rows.sort("layer_index")["value_nats"].to_numpy() / math.log(2)
    assert lines.get_segments()[7][:, 1] == pytest.approx(np.minimum(expected, math.log2(1000)))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_missing_estimator_is_said_in_its_row(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), estimators=("kde-kl",))
    assert texts(draw(run)).count("not measured") == 2 * len(LAYERS)


def test_original_examples_alone_are_drawn_without_crosses(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0, 1), trainings=("normal",), examples=("original",))
    labels = {c.get_label() for axes in planes(draw(run)).values() for c in axes.collections}
    assert "original" in labels
    assert "adversarial" not in labels


def test_performance_alone_is_drawn_and_the_rest_said_to_be_missing(full_run):
    points = plane_points(in_bits(full_run.measurements())).clear()
    figure = information_flow_figure(points, full_run.performance().filter(training="normal"), "title")
    assert len(figure.axes[0].lines) == 3
    assert texts(figure).count("not measured") == 5  # both informations over depth, three estimators


def test_many_layers_wrap_into_further_rows(make_run, tmp_path):
    layers = tuple(f"layer{index}" for index in range(8))
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=layers)
    figure = draw(run)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert all(titles.count(layer) == 3 for layer in layers)
    widths = {round(axes.get_position().width, 3) for axes in figure.axes[4:-1] if axes.axison}
    assert len(widths) == 1


def test_the_twin_draws_the_planes_at_relative_noise(full_run):
    points = plane_points(in_bits(full_run.measurements())).filter(
        pl.col("training") == "normal", pl.col("estimator").is_in(RELATIVE_ESTIMATORS)
    )
    figure = relative_noise_figure(points, "title")
    axes = dict(zip([(name, layer) for name in ("kde-kl", "kde-bd") for layer in LAYERS], figure.axes, strict=False))
    for (estimator, layer), plane in axes.items():
        rows = full_run.measurements().filter(
            training="normal", examples="adversarial", estimator=estimator, layer=layer, noise_mode="relative"
        )
        expected = [
            rows.filter(quantity=quantity).sort("epoch")["value_nats"] / math.log(2)
            for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)
        ]
        if estimator == "kde-kl":  # the formula of this run fills both ceilings
            assert min(expected[0]) >= 0.95 * math.log2(1000)
            assert min(expected[1]) >= 0.95 * math.log2(10)
            assert [text.get_text() for text in plane.texts] == ["all points at both ceilings,\n9.97 and 3.32 bits"]
            continue
        (scatter,) = [collection for collection in plane.collections if collection.get_label() == "adversarial"]
        assert np.asarray(scatter.get_offsets()) == pytest.approx(np.column_stack(expected))
