import math

import numpy as np
import polars as pl
import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits, last_epoch
from infoplane.report.sweep_figure import noise_sweep_figure

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


def draw(run):
    rows = last_epoch(in_bits(run.measurements().filter(training="adversarial")))
    return noise_sweep_figure(rows, "title")


@pytest.fixture(scope="module")
def figure(full_run):
    return draw(full_run)


def panels(figure, layer):
    """I(X;T) of a layer and, below it, I(T;Y)."""
    place = LAYERS.index(layer)
    return figure.axes[place], figure.axes[len(LAYERS) + place]


def swept(run, estimator, quantity, examples, layer):
    rows = run.measurements().filter(
        training="adversarial", estimator=estimator, quantity=quantity, examples=examples, layer=layer,
        noise_mode="sweep",
    ).sort("noise_variance")  # fmt: skip
    return rows["noise_variance"].to_list(), (rows["value_nats"] / math.log(2)).to_list()


def test_the_random_control_is_left_out(full_run):
    rows = last_epoch(in_bits(full_run.measurements())).filter(training="adversarial")
    control = rows.filter(pl.col("examples") == "original").with_columns(examples=pl.lit("random"))
    drawn = noise_sweep_figure(pl.concat([rows, control]), "")
    labels = {str(line.get_label()) for axes in drawn.axes for line in axes.lines}
    assert any(label.endswith("/original") for label in labels)
    assert not any(label.endswith("/random") for label in labels)


@pytest.mark.parametrize("examples", ["original", "adversarial"])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_band_of_each_kind_of_examples_lies_between_its_bounds(full_run, figure, examples, layer):
    axes, _ = panels(figure, layer)
    (band,) = [collection for collection in axes.collections if collection.get_label() == examples]
    vertices = band.get_paths()[0].vertices
    for estimator, choose in (("kde-bd", min), ("kde-kl", max)):
        variances, values = swept(full_run, estimator, INPUT_INFORMATION, examples, layer)
        assert len(variances) == 6
        found = [choose(y for x, y in vertices if x == variance) for variance in variances]
        assert found == pytest.approx(values)


@pytest.mark.parametrize("estimator", ["kde-kl", "kde-bd"])
@pytest.mark.parametrize(("examples", "style"), [("original", "-"), ("adversarial", "--")])
def test_label_information_is_drawn_against_the_noise(full_run, figure, estimator, examples, style):
    _, axes = panels(figure, "fc2")
    (line,) = [line for line in axes.lines if line.get_label() == f"{estimator}/{examples}"]
    variances, values = swept(full_run, estimator, LABEL_INFORMATION, examples, "fc2")
    assert line.get_xdata() == pytest.approx(variances)
    assert line.get_ydata() == pytest.approx(values)
    assert line.get_linestyle() == style
    assert axes.get_xscale() == "log"


def test_nulls_are_those_of_both_estimates(full_run, figure):
    _, axes = panels(figure, "fc2")
    tops = sorted(c.get_datalim(axes.transData).y1 for c in axes.collections if c.get_label() == "null")
    rows = full_run.measurements().filter(
        training="adversarial", quantity=LABEL_INFORMATION, examples="original", layer="fc2", noise_mode="sweep"
    )
    expected = rows.group_by("estimator").agg(pl.col("null_quantile95_nats").max()).drop_nulls()
    assert tops == pytest.approx(sorted(expected["null_quantile95_nats"] / math.log(2)))


def test_vertical_lines_stand_at_the_fixed_and_the_relative_noise(figure):
    for axes in panels(figure, "fc3"):
        at = {line.get_label(): line.get_xdata()[0] for line in axes.lines if line.get_label() in ("fixed", "relative")}
        # unit variance 0.05 2^4 11, of which relative noise is 0.2
        assert at == pytest.approx({"fixed": 0.1, "relative": 1.76})


def test_decoded_values_cross_the_panel_with_their_intervals(full_run, figure):
    _, axes = panels(figure, "fc3")
    for examples in ("original", "adversarial"):
        row = full_run.measurements().filter(
            training="adversarial", estimator="decoded", examples=examples, layer="fc3", epoch=10
        )
        (line,) = [line for line in axes.lines if line.get_label() == f"decoded/{examples}"]
        assert line.get_ydata()[0] == pytest.approx(row["value_nats"][0] / math.log(2))
        ends = [row[end][0] / math.log(2) for end in ("interval_low", "interval_high")]
        assert any(np.allclose((p.get_y(), p.get_y() + p.get_height()), ends) for p in axes.patches)


@pytest.mark.parametrize(
    # unit variance 0.05 2 11 of conv2, of which relative noise is 0.2; attacked 1.3 times that
    ("mode", "variances"), [("fixed", (0.1, 0.1)), ("relative", (0.22, 0.286))],
)  # fmt: skip
def test_noisy_values_stand_at_the_noise_they_were_taken_at(full_run, figure, mode, variances):
    axes, _ = panels(figure, "conv2")
    name = "noisy" if mode == "fixed" else "noisy@relative"
    for examples, marker, variance in zip(("original", "adversarial"), "ox", variances, strict=True):
        (mark,) = [line for line in axes.lines if line.get_label() == f"{name}/{examples}"]
        row = full_run.measurements().filter(
            training="adversarial", estimator="noisy", quantity=INPUT_INFORMATION, examples=examples, layer="conv2",
            epoch=10, noise_mode=mode,
        )  # fmt: skip
        assert mark.get_marker() == marker
        drawn = (mark.get_xdata()[0], mark.get_ydata()[0])
        assert drawn == pytest.approx((variance, row["value_nats"][0] / math.log(2)))


def test_decoded_lines_are_of_the_label_alone(full_run, figure):
    rows = full_run.measurements().filter(training="adversarial")
    mistakes = rows.filter(estimator="decoded", examples="adversarial").with_columns(quantity=pl.lit("I(T;mistaken)"))
    drawn = noise_sweep_figure(last_epoch(in_bits(pl.concat([rows, mistakes]))), "title")
    names = [line.get_label() for line in panels(drawn, "fc3")[1].lines if "decoded/" in str(line.get_label())]
    assert sorted(names) == ["decoded/adversarial", "decoded/original"]


def legend(figure):
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_the_legend_says_how_large_the_relative_noise_is(full_run, figure):
    assert legend(figure)[-1] == "relative noise, 0.2 times the layer's mean variance per unit"
    rows = last_epoch(in_bits(full_run.measurements().filter(training="adversarial")))
    rows = rows.with_columns(features=64 * (1 + pl.col("layer_index")))
    moved = pl.when(noise_mode="relative").then(pl.col("features") / 32).otherwise("noise_ratio")
    default = noise_sweep_figure(rows.with_columns(noise_ratio=moved), "title")
    assert legend(default)[-1] == "relative noise, 1/32.0 of the layer's total variance"


def test_ceilings_are_drawn(figure):
    for axes, ceiling in zip(panels(figure, "fc1"), (math.log2(1000), math.log2(10)), strict=True):
        assert any(np.allclose(line.get_ydata(), ceiling) for line in axes.lines if line.get_linestyle() == "--")


def test_many_layers_wrap_into_further_rows(make_run, tmp_path):
    layers = tuple(f"layer{index}" for index in range(8))
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("adversarial",), layers=layers)
    figure = draw(run)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert all(titles.count(layer) == 1 for layer in layers)
    assert len({round(axes.get_position().width, 3) for axes in figure.axes}) == 1


def test_a_layer_without_variance_has_no_sweep_and_says_so(full_run):
    rows = full_run.measurements().filter(training="adversarial")
    rows = rows.filter(~((pl.col("layer") == "fc1") & pl.col("noise_mode").is_in(["sweep", "relative"])))
    figure = noise_sweep_figure(last_epoch(in_bits(rows)), "title")
    assert [axes.texts[0].get_text() for axes in panels(figure, "fc1")] == ["not measured"] * 2
    assert len(panels(figure, "fc2")[0].lines) > 0
