import math

import numpy as np
import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits, plane_points
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.labels import STUDY_ESTIMATORS

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
ESTIMATORS = {
    INPUT_INFORMATION: ("noisy@relative", "kde-bd@relative", *STUDY_ESTIMATORS),
    LABEL_INFORMATION: ("decoded", *STUDY_ESTIMATORS),
}
CEILINGS = {INPUT_INFORMATION: math.log2(1000), LABEL_INFORMATION: math.log2(10)}


@pytest.fixture(scope="module")
def figure(full_run):
    return comparison_figure(plane_points(in_bits(full_run.measurements())), "title")


def panels(figure):
    keys = [(quantity, name, layer) for quantity, names in ESTIMATORS.items() for name in names for layer in LAYERS]
    return dict(zip(keys, figure.axes, strict=True))


def recorded(run, *, estimator, **key):
    name, _, mode = estimator.partition("@")
    rows = run.measurements().filter(estimator=name, **key)
    if name not in ("decoded", "decoded-transfer", "binning"):
        rows = rows.filter(noise_mode=mode or "fixed")
    return rows.sort("epoch")


def drawn(nats, ceiling):
    return (nats / math.log(2)).clip(0, ceiling).to_list()


def test_every_curve_is_the_records_of_its_training_and_examples(full_run, figure):
    for (quantity, estimator, layer), axes in panels(figure).items():
        lines = {line.get_label(): line for line in axes.lines}
        if notes := [text.get_text() for text in axes.texts]:
            values = recorded(full_run, estimator=estimator, layer=layer, quantity=quantity)["value_nats"] / math.log(2)
            if notes == [f"at the ceiling,\n{CEILINGS[quantity]:.2f} bits"]:
                assert values.min() >= 0.95 * CEILINGS[quantity]
            else:
                assert notes == [f"constant,\n{values[0]:.2f} bits"]
                assert values.max() - values.min() < 0.005
            continue
        for training in ("normal", "adversarial"):
            for examples in ("original", "adversarial"):
                rows = recorded(
                    full_run, training=training, examples=examples, estimator=estimator, layer=layer, quantity=quantity
                )
                assert len(rows) == (6 if estimator in ("noisy@relative", "decoded") else 11)
                expected = drawn(rows["value_nats"], CEILINGS[quantity])
                assert lines[f"{training}/{examples}"].get_ydata() == pytest.approx(expected)


@pytest.mark.parametrize("training", ["normal", "adversarial"])
def test_decoders_of_originals_are_dotted_and_drawn_at_zero_where_they_are_wrong(full_run, figure, training):
    axes = panels(figure)[LABEL_INFORMATION, "decoded", "fc3"]
    line = next(line for line in axes.lines if line.get_label() == f"{training}/adversarial/transferred")
    rows = recorded(full_run, training=training, estimator="decoded-transfer", layer="fc3")
    assert line.get_linestyle() == ":"
    assert line.get_ydata() == pytest.approx(drawn(rows["value_nats"], math.log2(10)))
    assert min(rows["value_nats"]) < 0


def test_decoded_values_stand_in_their_intervals(full_run, figure):
    axes = panels(figure)[LABEL_INFORMATION, "decoded", "fc3"]
    rows = recorded(full_run, training="normal", examples="original", estimator="decoded", layer="fc3")
    expected = [drawn(rows[end], math.log2(10)) for end in ("interval_low", "interval_high")]
    segments = np.asarray(axes.collections[0].get_segments())
    found = segments[:, :, 1].T
    assert found == pytest.approx(np.asarray(expected))


def test_rows_name_the_noise(figure):
    labels = [figure.axes[row * len(LAYERS)].get_ylabel().replace("\n", " ") for row in range(9)]
    names = ("Monte Carlo, relative noise", "KDE (BD), relative noise", "KDE (KL)")
    assert [label.partition(" (ceiling")[0] for label in labels[:3]] == [f"I(X;T), bits {name}" for name in names]
    assert labels[5] == "I(T;Y), bits Decoded"


def test_original_examples_are_solid_and_adversarial_ones_dashed(figure):
    lines = {line.get_label(): line.get_linestyle() for line in figure.axes[0].lines}
    assert (lines["normal/original"], lines["normal/adversarial"]) == ("-", "--")


def test_the_lower_of_two_curves_on_each_other_stays_visible(figure):
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    for examples in ("original", "adversarial"):
        lower, upper = lines[f"normal/{examples}"], lines[f"adversarial/{examples}"]
        assert lower.get_zorder() <= upper.get_zorder()
        assert lower.get_linewidth() >= 2 * upper.get_linewidth()
        assert lower.get_markersize() >= upper.get_markersize() + 2


def test_label_information_stands_before_the_null_of_each_training(figure):
    panel = panels(figure)[LABEL_INFORMATION, "kde-kl", "conv1"]
    tops = [collection.get_datalim(panel.transData).y1 for collection in panel.collections]
    assert tops == pytest.approx([0.9 * math.log2(10)] * 2)


def test_without_decoders_the_studys_estimators_are_compared_alone(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), trusted=False)
    axes = comparison_figure(plane_points(in_bits(run.measurements())), "title").axes
    assert len(axes) == 2 * 3 * len(LAYERS)
    assert [line.get_label() for line in axes[4].lines][:2] == ["normal/original", "normal/adversarial"]
