import math

import pytest

from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import in_bits, plane_points
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.labels import STUDY_ESTIMATORS

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


@pytest.fixture(scope="module")
def figure(full_run):
    return comparison_figure(plane_points(in_bits(full_run.measurements())), "title")


def test_every_curve_is_the_records_of_its_training_and_examples(full_run, figure):
    axes = iter(figure.axes)
    for quantity, ceiling in ((INPUT_INFORMATION, math.log2(1000)), (LABEL_INFORMATION, math.log2(10))):
        for estimator in STUDY_ESTIMATORS:
            for layer in LAYERS:
                lines = {line.get_label(): line for line in next(axes).lines}
                for training in ("normal", "adversarial"):
                    for examples in ("original", "adversarial"):
                        rows = full_run.measurements().filter(
                            training=training, examples=examples, estimator=estimator, layer=layer, quantity=quantity
                        )
                        expected = (rows.sort("epoch")["value_nats"] / math.log(2)).clip(0, ceiling).to_list()
                        assert lines[f"{training}/{examples}"].get_ydata() == pytest.approx(expected)


def test_original_examples_are_solid_and_adversarial_ones_dashed(figure):
    lines = {line.get_label(): line.get_linestyle() for line in figure.axes[0].lines}
    assert (lines["normal/original"], lines["normal/adversarial"]) == ("-", "--")


def test_label_information_stands_before_the_null_of_each_training(figure):
    panel = figure.axes[3 * len(LAYERS)]  # I(T;Y), KL, first layer
    tops = [collection.get_datalim(panel.transData).y1 for collection in panel.collections]
    assert tops == pytest.approx([0.9 * math.log2(10)] * 2)


def test_one_training_is_compared_with_its_adversarial_examples(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",))
    axes = comparison_figure(plane_points(in_bits(run.measurements())), "title").axes[0]
    assert [line.get_label() for line in axes.lines][:2] == ["normal/original", "normal/adversarial"]
