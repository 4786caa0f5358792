import math
from dataclasses import replace

import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, Measurement, measurement_table
from infoplane.report.bits import in_bits, last_epoch, plane_points, relative_noise_text, resolution_text

ROW = Measurement(
    study="flow",
    seed=0,
    training="normal",
    epoch=0,
    split="test",
    examples="original",
    layer_index=0,
    layer="conv1",
    estimator="binning",
    kind="estimate",
    quantity=LABEL_INFORMATION,
    distribution="binned",
    value_nats=math.log(2),
    standard_error=0.1 * math.log(2),
    ceiling_nats=math.log(8),
    null_quantile95_nats=math.log(2) / 2,
    saturated=False,
    samples=8,
    features=2,
)


def shown(**changes):
    return in_bits(measurement_table([replace(ROW, **changes)])).row(0, named=True)


def test_ln_2_nats_are_one_bit_in_every_column():
    row = shown()
    assert (row["value_bits"], row["error_bits"]) == pytest.approx((1, 0.1))
    assert (row["ceiling_bits"], row["null_bits"]) == pytest.approx((3, 0.5))


def test_negative_estimates_are_drawn_at_zero_and_marked_and_kept_raw():
    row = shown(value_nats=-math.log(2))
    assert (row["drawn_bits"], row["clipped"]) == (0, True)
    assert row["value_bits"] == pytest.approx(-1)


def test_estimates_above_the_ceiling_are_drawn_at_the_ceiling_and_marked():
    row = shown(value_nats=math.log(16))
    assert (row["drawn_bits"], row["clipped"]) == (pytest.approx(3), True)


def test_rounding_errors_at_the_ceiling_are_not_marked_as_clipped():
    assert not shown(value_nats=math.log(8) + 1e-4)["clipped"]


def test_without_a_ceiling_nothing_is_clipped_from_above():
    row = shown(value_nats=math.log(16), ceiling_nats=None)
    assert (row["drawn_bits"], row["clipped"]) == (pytest.approx(4), False)


def test_saturated_values_carry_no_error():
    assert shown(saturated=True)["error_bits"] is None


@pytest.mark.parametrize(("value", "expected"), [(0.4, True), (0.5, True), (0.6, False)])
def test_values_no_higher_than_their_null_are_null_like(value, expected):
    assert shown(value_nats=value * math.log(2))["null_like"] is expected


def test_values_without_a_null_are_never_null_like():
    assert shown(value_nats=0.0, null_quantile95_nats=None)["null_like"] is False


def test_distorted_training_and_diverged_rows_are_left_out():
    rows = [
        replace(ROW, distortion="saturation", level=8.0),
        replace(ROW, split="train"),
        replace(ROW, value_nats=math.nan),
    ]
    assert in_bits(measurement_table(rows)).is_empty()


def test_points_join_the_two_informations_of_one_estimator_only():
    rows = [ROW, replace(ROW, quantity=INPUT_INFORMATION, value_nats=math.log(4), null_quantile95_nats=None)]
    rows.append(replace(ROW, estimator="kde-mixed", kind="lower"))
    points = plane_points(in_bits(measurement_table(rows))).rows(named=True)
    assert [(point["estimator"], point["input_value_bits"], point["label_value_bits"]) for point in points] == [
        ("binning", pytest.approx(2), pytest.approx(1))
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(None, "kde-kl"), ("fixed", "kde-kl"), ("relative", "kde-kl@relative"), ("sweep", "kde-kl@sweep")],
)
def test_an_estimator_at_another_noise_has_another_name(mode, expected):
    assert shown(estimator="kde-kl", noise_mode=mode)["estimator"] == expected


def test_points_at_fixed_and_relative_noise_stay_apart_and_the_sweep_makes_none():
    rows = [
        replace(ROW, estimator="kde-kl", quantity=quantity, noise_mode=mode, value_nats=value * math.log(2))
        for mode, value in (("relative", 1), ("sweep", 2), ("fixed", 3))
        for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)
    ]
    points = plane_points(in_bits(measurement_table(rows))).select("estimator", "input_value_bits").rows()
    assert points == [("kde-kl", pytest.approx(3)), ("kde-kl@relative", pytest.approx(1))]


def test_decoded_information_stands_against_the_noisy_one():
    rows = []
    for examples, noisy, decoded in (("original", 5, 3), ("adversarial", 4, 2)):
        common = replace(ROW, examples=examples)
        rows += [
            replace(common, estimator="noisy", quantity=INPUT_INFORMATION, value_nats=noisy * math.log(2)),
            replace(common, estimator="decoded", value_nats=decoded * math.log(2)),
        ]
    rows.append(replace(ROW, examples="adversarial", estimator="decoded-transfer", value_nats=-math.log(2)))
    points = plane_points(in_bits(measurement_table(rows)))
    assert points.select("estimator", "examples", "input_value_bits", "label_value_bits").rows() == [
        ("noisy+decoded", "adversarial", pytest.approx(4), pytest.approx(2)),
        ("noisy+decoded", "original", pytest.approx(5), pytest.approx(3)),
        ("noisy+decoded-transfer", "adversarial", pytest.approx(4), pytest.approx(-1)),
        ("noisy+decoded-transfer", "original", pytest.approx(5), pytest.approx(3)),
    ]


def test_decoded_information_stands_against_the_noisy_one_at_relative_noise_where_it_was_taken():
    noisy = replace(ROW, estimator="noisy", quantity=INPUT_INFORMATION)
    rows = [
        replace(noisy, noise_mode="fixed", value_nats=5 * math.log(2)),
        replace(noisy, noise_mode="relative", value_nats=4 * math.log(2)),
        replace(ROW, estimator="decoded"),
    ]
    points = plane_points(in_bits(measurement_table(rows)))
    assert points.select("estimator", "input_value_bits").rows() == [("noisy@relative+decoded", pytest.approx(4))]


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([(64, 2.0), (96, 3.0)], "1/32.0 of the layer's total variance"),
        ([(64, 0.2), (96, 0.2)], "0.2 times the layer's mean variance per unit"),
        ([(64, 2.0), (96, 0.25)], "0.25 to 2 times the layer's mean variance per unit"),
    ],
)
def test_relative_noise_is_named_by_the_share_of_the_layer(ratios, expected):
    rows = [
        replace(ROW, estimator="kde-kl", noise_mode="relative", features=features, noise_ratio=ratio)
        for features, ratio in ratios
    ]
    rows.append(replace(ROW, estimator="kde-kl", noise_mode="sweep", noise_ratio=77.0))
    assert relative_noise_text(in_bits(measurement_table(rows))) == expected


@pytest.mark.parametrize(("undersampled", "expected"), [(True, True), (False, False), (None, False)])
def test_what_an_estimator_calls_undersampled_is_shown_as_such(undersampled, expected):
    assert shown(undersampled=undersampled)["undersampled"] is expected


def test_intervals_are_in_bits_and_saturated_values_have_none():
    interval = {"interval_low": 0.5 * math.log(2), "interval_high": 1.5 * math.log(2)}
    row = shown(**interval)
    assert (row["low_bits"], row["high_bits"]) == pytest.approx((0.5, 1.5))
    row = shown(**interval, saturated=True)
    assert (row["low_bits"], row["high_bits"]) == (None, None)


def test_each_training_has_its_own_last_epoch():
    rows = [replace(ROW, epoch=epoch) for epoch in (0, 3)] + [replace(ROW, training="adversarial", epoch=1)]
    kept = last_epoch(in_bits(measurement_table(rows)))
    assert sorted(kept.select("training", "epoch").rows()) == [("adversarial", 1), ("normal", 3)]


def test_layers_that_the_examples_resolve_are_named():
    ceiling = math.log(1000)
    row = replace(
        ROW, estimator="kde-kl", quantity=INPUT_INFORMATION, noise_mode="relative", samples=1000, ceiling_nats=ceiling
    )

    def said(*bounds):
        rows = [
            replace(row, layer=f"fc{index}", layer_index=index, gaussian_ceiling_nats=bound)
            for index, bound in enumerate(bounds)
        ]
        return resolution_text(in_bits(measurement_table(rows)))

    assert said(ceiling - 4.1, ceiling - 5) == "1000 examples resolve every layer"
    assert said(ceiling - 3.9, ceiling - 5) == (
        "1000 examples may not resolve fc0: there I(X;T) can come within 4 nats of log N"
    )
    assert said(None, None) == ""
