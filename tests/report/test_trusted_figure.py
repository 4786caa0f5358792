import math

import numpy as np
import polars as pl
import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits
from infoplane.report.trusted_figure import trusted_figure

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
EPOCHS = [0, 1, 2, 4, 7, 10]
HY = math.log2(10)
NEAR = (math.log(1000) - 3) / math.log(2)  # above it noisy I(X;T) is saturated


def draw(run, training="normal"):
    return trusted_figure(in_bits(run.measurements()).filter(pl.col("training") == training), "title")


@pytest.fixture(scope="module", params=["normal", "adversarial"])
def drawn(request, full_run):
    return request.param, draw(full_run, request.param)


def recorded(run, column="value_nats", **key):
    return (run.measurements().filter(**key).sort("epoch")[column] / math.log(2)).to_numpy()


def panel(figure, row, layer):
    """The panels: planes, noisy I(X;T), decoded I(T;Y), each from the first layer to the last."""
    return figure.axes[row * len(LAYERS) + LAYERS.index(layer)]


def interval_ends(run, column, **key):
    """The ends of intervals; those of saturated I(X;T) lie at the value."""
    ends, values = recorded(run, column, **key), recorded(run, **key)
    return np.where((values > NEAR) & (key["quantity"] == INPUT_INFORMATION), values, ends)


def bars(axes, low):
    """The vertical intervals with these lower ends."""
    for collection in axes.collections:
        if hasattr(collection, "get_segments"):
            segments = np.asarray(collection.get_segments())
            if len(segments) == len(low) and np.allclose(segments[:, 0, 1], low):
                return segments[:, :, 1]
    raise AssertionError("no such intervals are drawn")


@pytest.mark.parametrize("examples", ["original", "adversarial"])
def test_planes_set_decoded_against_noisy_information(full_run, drawn, examples):
    training, figure = drawn
    for layer in LAYERS:
        axes = panel(figure, 0, layer)
        (scatter,) = [collection for collection in axes.collections if collection.get_label() == examples]
        key = {"training": training, "examples": examples, "layer": layer}
        expected = [
            recorded(full_run, estimator="noisy", quantity=INPUT_INFORMATION, noise_mode="relative", **key),
            recorded(full_run, estimator="decoded", quantity=LABEL_INFORMATION, **key),
        ]
        assert np.asarray(scatter.get_offsets()) == pytest.approx(np.column_stack(expected))
        assert list(scatter.get_array()) == EPOCHS


def test_planes_have_intervals_both_ways(full_run, drawn):
    training, figure = drawn
    axes = panel(figure, 0, "fc1")
    across, up = [np.asarray(one.get_segments()) for one in axes.collections if hasattr(one, "get_segments")][:2]
    for segments, coordinate, facts in (
        (across, 0, {"estimator": "noisy", "quantity": INPUT_INFORMATION, "noise_mode": "relative"}),
        (up, 1, {"estimator": "decoded", "quantity": LABEL_INFORMATION}),
    ):
        for end, column in enumerate(("interval_low", "interval_high")):
            expected = [
                interval_ends(full_run, column, training=training, examples=examples, layer="fc1", **facts)
                for examples in ("adversarial", "original")
            ]
            assert segments[:, end, coordinate] == pytest.approx(np.concatenate(expected))


def test_planes_hold_their_intervals(full_run, drawn):
    _, figure = drawn
    lowest = full_run.measurements().filter(estimator="noisy", quantity=INPUT_INFORMATION, noise_mode="relative")
    lowest = lowest.filter(training=drawn[0])["interval_low"].min() / math.log(2)
    assert panel(figure, 0, "fc3").get_xlim()[0] <= lowest


def test_noisy_information_runs_over_epochs_with_its_interval(full_run, drawn):
    training, figure = drawn
    axes = panel(figure, 1, "fc2")
    lines = {line.get_label(): line for line in axes.lines}
    for examples in ("original", "adversarial"):
        key = {"training": training, "examples": examples, "layer": "fc2"}
        noisy = {"estimator": "noisy", "quantity": INPUT_INFORMATION, "noise_mode": "relative", **key}
        assert lines[examples].get_ydata() == pytest.approx(recorded(full_run, **noisy))
        ends = [recorded(full_run, end, **noisy) for end in ("interval_low", "interval_high")]
        known = recorded(full_run, **noisy) <= NEAR
        assert 0 < known.sum() < len(known)
        assert pytest.approx(np.asarray(ends)[:, known]) == bars(axes, ends[0][known]).T


def check_band(run, figure, training, noise_mode):
    band = panel(figure, 1, "fc3").collections[0].get_paths()[0].vertices
    for estimator, choose in (("kde-bd", min), ("kde-kl", max)):
        expected = recorded(
            run, training=training, examples="original", layer="fc3", estimator=estimator,
            quantity=INPUT_INFORMATION, noise_mode=noise_mode,
        )  # fmt: skip
        for epoch in range(11):
            assert choose(y for x, y in band if x == epoch) == pytest.approx(expected[epoch])


def test_the_band_of_originals_lies_between_the_kde_bounds_at_relative_noise(full_run, drawn):
    training, figure = drawn
    check_band(full_run, figure, training, "relative")
    assert panel(figure, 1, "conv1").get_ylabel() == "Monte Carlo, relative noise\nI(X;T), bits"


def test_a_run_whose_noisy_values_are_at_the_fixed_noise_alone_is_drawn_at_that(full_run):
    older = ~((pl.col("estimator") == "noisy") & (pl.col("noise_mode") == "relative"))
    rows = in_bits(full_run.measurements().filter(older)).filter(pl.col("training") == "normal")
    figure = trusted_figure(rows, "title")
    check_band(full_run, figure, "normal", "fixed")
    line = next(line for line in panel(figure, 1, "fc2").lines if line.get_label() == "original")
    key = {"training": "normal", "examples": "original", "layer": "fc2", "noise_mode": "fixed"}
    expected = recorded(full_run, estimator="noisy", quantity=INPUT_INFORMATION, **key)
    assert line.get_ydata() == pytest.approx(expected)
    (scatter,) = [one for one in panel(figure, 0, "fc2").collections if one.get_label() == "original"]
    assert np.asarray(scatter.get_offsets())[:, 0] == pytest.approx(expected)
    assert panel(figure, 1, "conv1").get_ylabel() == "Monte Carlo, fixed noise\nI(X;T), bits"


def test_too_few_samples_begin_three_nats_below_the_ceiling(drawn):
    _, figure = drawn
    edge = (math.log(1000) - 3) / math.log(2)
    across = [patch for patch in panel(figure, 0, "fc3").patches if patch.get_hatch()]
    up = [patch for patch in panel(figure, 1, "fc3").patches if patch.get_hatch()]
    assert [patch.get_x() for patch in across] == pytest.approx([edge])
    assert [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in up] == [
        pytest.approx((edge, math.log2(1000)))
    ]


def test_decoded_information_is_drawn_raw_down_to_half_the_label_entropy_below_zero(full_run, drawn):
    training, figure = drawn
    axes = panel(figure, 2, "fc3")
    lines = {}
    for line in axes.lines:
        lines.setdefault(line.get_label(), []).append(line)
    for label, examples, estimator in (
        ("original", "original", "decoded"),
        ("adversarial", "adversarial", "decoded"),
        ("adversarial/transferred", "adversarial", "decoded-transfer"),
    ):
        values = recorded(full_run, training=training, examples=examples, layer="fc3", estimator=estimator)
        (line,) = lines[label]
        assert list(line.get_xdata()) == EPOCHS
        assert line.get_ydata() == pytest.approx(np.maximum(values, -HY / 2))
    below = [epoch for line in lines["below"] for epoch in line.get_xdata()]
    assert below == ([7, 10] if training == "normal" else [])
    assert min(lines["adversarial/transferred"][0].get_ydata()) < 0


def test_the_null_of_the_decoders_is_shaded(drawn):
    _, figure = drawn
    (null,) = [patch for patch in panel(figure, 2, "fc3").patches if patch.get_label() == "null"]
    assert (null.get_y(), null.get_height()) == pytest.approx((0, 0.02 / math.log(2)))


def test_original_examples_alone_need_no_attack(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0, 1), trainings=("normal",), examples=("original",))
    lines = {line.get_label(): line for line in draw(run).axes[2 * len(LAYERS)].lines}
    assert len(lines["original"].get_xdata()) == 2
    assert len(lines["adversarial"].get_xdata()) == len(lines["adversarial/transferred"].get_xdata()) == 0


def test_a_layer_without_these_numbers_says_so(full_run):
    missing = (pl.col("layer") == "fc1") & pl.col("estimator").is_in(["noisy", "decoded", "decoded-transfer"])
    rows = in_bits(full_run.measurements().filter(~missing)).filter(pl.col("training") == "normal")
    figure = trusted_figure(rows, "title")
    said = [panel(figure, row, "fc1").texts[-1].get_text() for row in range(3)]
    assert said == ["not measured"] * 3
