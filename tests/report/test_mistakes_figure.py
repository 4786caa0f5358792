import math

import polars as pl
import pytest

from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    MISTAKEN_INFORMATION,
    POPULATION,
    TRUE_INFORMATION,
    Measurement,
    Performance,
    measurement_table,
    performance_table,
)
from infoplane.report.bits import in_bits
from infoplane.report.mistakes_figure import mistakes_figure, transfer_figure

FACTS = {"study": "s", "seed": 0, "split": "test", "examples": "adversarial"}
PREDICTIONS = [
    {"label": 0, "predicted": 0, "n": 3, "confidence": 0.9},
    {"label": 0, "predicted": 1, "n": 1, "confidence": 0.55},
    {"label": 1, "predicted": 0, "n": 4, "confidence": 0.7},
]


def performance(training="normal", epoch=2, predictions=PREDICTIONS, **changes):
    row = {**FACTS, "training": training, "epoch": epoch, "accuracy": 0.375, "loss": 1.0, "n": 8}
    row |= {"gradient_evaluations": 0, "seconds": 0.0, "predictions": predictions, **changes}
    return Performance(**row)


def mistakes(training, value, *, layer=0, quantity=MISTAKEN_INFORMATION, estimator=DECODED, **changes):
    row = {
        **FACTS, "training": training, "epoch": 2, "layer_index": layer, "layer": f"fc{layer}", "estimator": estimator,
        "kind": "lower", "quantity": quantity, "distribution": POPULATION, "value_nats": value, "standard_error": 0.05,
        "interval_low": value - 0.1, "interval_high": value + 0.1, "ceiling_nats": 2.0, "saturated": False,
        "samples": 321, "features": 5, **changes,
    }  # fmt: skip
    return Measurement(**row)


def words(axes):
    return [text.get_text() for text in axes.texts]


def curve(axes, name):
    (line,) = [one for one in axes.containers if one.get_label() == name]
    return line[0].get_xdata().tolist(), line[0].get_ydata().tolist()


def test_a_cell_holds_the_share_of_its_row_and_the_mean_confidence():
    table = performance_table([performance(), performance("adversarial"), performance(epoch=1, predictions=[])])
    figure = transfer_figure(table, "title")
    normal, adversarial, _bar = figure.axes
    assert words(normal) == ["75\n90", "25\n55", "100\n70"]
    assert normal.get_images()[0].get_array().tolist() == [[0.75, 0.25], [1.0, 0.0]]
    assert normal.get_title(loc="left") == "normal training, epoch 2: 37.5 % right"
    assert "adversarial training" in adversarial.get_title(loc="left")
    assert len(normal.patches) == 2  # the right answers are framed


def test_numbers_are_white_on_dark_cells_alone_and_large_enough_to_read():
    counts = {(0, 0): 6, (0, 1): 4, (1, 0): 3, (1, 1): 7}
    cells = [{"label": label, "predicted": taken, "n": n, "confidence": 0.9} for (label, taken), n in counts.items()]
    texts = transfer_figure(performance_table([performance(predictions=cells)]), "title").axes[0].texts
    assert [text.get_color() for text in texts] == ["black", "black", "black", "white"]
    assert min(text.get_fontsize() for text in texts) >= 6


def test_nulls_of_both_classes_look_as_the_legend_says():
    rows = [
        mistakes("normal", 0.5, quantity=quantity, null_quantile95_nats=0.1)
        for quantity in (MISTAKEN_INFORMATION, TRUE_INFORMATION)
    ]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    drawn = {line.get_color() for line in figure.axes[0].lines if line.get_marker() == "_"}
    (handle,) = [one for one in figure.legends[0].legend_handles if "permuted" in str(one.get_label())]
    curves = {one[0].get_color() for one in figure.axes[0].containers}
    assert drawn == {handle.get_color()}
    assert not drawn & curves


def test_many_classes_are_drawn_without_numbers():
    many = [{"label": label, "predicted": (label + 1) % 40, "n": 2, "confidence": 0.5} for label in range(40)]
    axes = transfer_figure(performance_table([performance(predictions=many)]), "title").axes[0]
    assert words(axes) == []
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "10", "20", "30"]


@pytest.mark.parametrize("changes", [{"examples": "original"}, {"predictions": None}])
def test_nothing_is_drawn_where_no_attacked_examples_predictions_are_recorded(changes):
    assert transfer_figure(performance_table([performance(**changes)]), "title") is None


def test_both_classes_are_drawn_layer_by_layer_both_ways():
    rows = [
        mistakes("normal", 0.1 * layer + value, layer=layer, quantity=quantity, estimator=estimator)
        for layer in range(3)
        for quantity, estimator, value in (
            (MISTAKEN_INFORMATION, DECODED, 0.5),
            (MISTAKEN_INFORMATION, DECODED_TRANSFER, 0.2),
            (TRUE_INFORMATION, DECODED, 0.9),
            (TRUE_INFORMATION, DECODED_TRANSFER, -9.0),
        )
    ]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    (axes,) = figure.axes
    in_one_bit = 0.6931471805599453
    places, values = curve(axes, "wrong class, decoders refitted")
    assert places == [0, 1, 2]
    assert values == pytest.approx([0.5 / in_one_bit, 0.6 / in_one_bit, 0.7 / in_one_bit])
    # confidently wrong decoders are cut at minus the ceiling, and marked
    assert curve(axes, "true class, decoders trained on clean")[1] == pytest.approx([-2 / in_one_bit] * 3)
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "v" and len(line.get_xdata())] == [
        [0, 1, 2]
    ]
    assert axes.get_title(loc="left") == "normal training: 321 mistakes"


def test_below_stand_all_layers_under_the_strongest_saturation_and_the_last_along_its_levels():
    rows = [
        mistakes("normal", 1.0 - level / 2000 + layer, layer=layer, distortion="saturation", level=level)
        for layer in range(2)
        for level in (2.0, 64.0, 1024.0)
    ]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    above, strongest, below = figure.axes
    bit = 0.6931471805599453
    assert curve(above, "wrong class, decoders refitted")[1] == pytest.approx([0.999 / bit, 1.999 / bit])
    assert curve(strongest, "wrong class, decoders refitted")[1] == pytest.approx([0.488 / bit, 1.488 / bit])
    assert "at saturation 1024" in strongest.get_xlabel()
    expected = [(2 - level / 2000) / bit for level in (2, 64, 1024)]
    assert curve(below, "wrong class, decoders refitted")[1] == pytest.approx(expected)
    assert [tick.get_text() for tick in below.get_xticklabels()] == ["2", "64", "1024"]


def test_a_training_with_too_few_mistakes_says_so():
    rows = [mistakes("normal", 0.5), mistakes("adversarial", 0.5, distortion="saturation", level=2.0)]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    assert any("too few mistakes" in text for axes in figure.axes for text in words(axes))


def test_nothing_is_drawn_where_nothing_was_decoded():
    empty = in_bits(measurement_table([]))
    assert mistakes_figure(empty, empty, "title") is None
    assert isinstance(empty, pl.DataFrame)


def test_the_axes_of_the_matrix_name_the_classes():
    names = [f"kind ${index}" for index in range(10)]
    axes = transfer_figure(performance_table([performance()]), "title", names).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [label.get_text() for label in axes.get_xticklabels()]
    assert shown
    assert all(text.startswith(r"kind \$") for text in shown)


def test_controls_without_the_attack_are_drawn_beside_it():
    rows = [
        mistakes("normal", value + layer, layer=layer, examples=examples, estimator=DECODED_TRANSFER)
        for layer in range(2)
        for examples, value in (("adversarial", 0.9), ("original", 0.5), ("random", 0.3))
    ]
    table = measurement_table(rows)
    figure = mistakes_figure(in_bits(table), in_bits(table, of_distorted=True), "title")
    (axes,) = figure.axes
    drawn = {line.get_label(): [bits * math.log(2) for bits in line.get_ydata()] for line in axes.lines}
    for examples, value in (("original", 0.5), ("random", 0.3)):
        name = f"wrong class of misclassified {examples} examples, decoders trained on clean"
        assert drawn[name] == pytest.approx([value, value + 1])
