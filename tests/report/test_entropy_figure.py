import math

import polars as pl
import pytest

from infoplane.records.tables import CLASS_ENTROPY, INPUT_INFORMATION
from infoplane.report.bits import in_bits
from infoplane.report.entropy_figure import class_entropy_figure

PANELS = [("original", "kde-kl"), ("original", "kde-bd"), ("adversarial", "kde-kl"), ("adversarial", "kde-bd")]
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


def draw(run, training="normal"):
    return class_entropy_figure(in_bits(run.measurements()).filter(pl.col("training") == training), "title")


def test_every_panel_draws_its_own_examples_records(full_run):
    """An earlier figure drew the original examples' curves a second time in place of the adversarial ones."""
    axes = iter(draw(full_run).axes)
    for examples, estimator in PANELS:
        for layer in LAYERS:
            lines = {line.get_label(): line for line in next(axes).lines}
            own = full_run.measurements().filter(
                training="normal", examples=examples, estimator=estimator, layer=layer, noise_mode="fixed"
            )
            for label in range(10):
                rows = own.filter(quantity=CLASS_ENTROPY, class_index=label).sort("epoch")
                assert lines[f"class {label}"].get_xdata() == pytest.approx(range(11))
                assert lines[f"class {label}"].get_ydata() == pytest.approx(
                    (rows["value_nats"] / math.log(2)).to_list()
                )
            whole = own.filter(quantity=INPUT_INFORMATION).sort("epoch")
            assert lines["all classes"].get_ydata() == pytest.approx((whole["value_nats"] / math.log(2)).to_list())


def test_original_and_adversarial_panels_differ(full_run):
    axes = draw(full_run).axes
    original, adversarial = axes[4], axes[14]  # fc3, KL
    assert original.lines[0].get_ydata() != pytest.approx(adversarial.lines[0].get_ydata())


def test_ceilings_are_those_of_all_examples_and_of_a_class(full_run):
    lines = [line for line in draw(full_run).axes[0].lines if line.get_label() == "ceiling"]
    assert sorted(line.get_ydata()[0] for line in lines) == pytest.approx([math.log2(100), math.log2(1000)])


def test_missing_adversarial_records_are_said_in_their_panels(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), examples=("original",))
    texts = [text.get_text() for axes in draw(run).axes for text in axes.texts]
    assert texts == ["not measured"] * 2 * len(LAYERS)


def test_the_legend_names_the_classes(full_run):
    rows = in_bits(full_run.measurements()).filter(pl.col("training") == "normal")
    names = [f"kind {index}" for index in range(10)]
    texts = [text.get_text() for text in class_entropy_figure(rows, "title", names).legends[0].get_texts()]
    assert [text for text in texts if text.startswith("class ")] == [f"class {name}" for name in names]
