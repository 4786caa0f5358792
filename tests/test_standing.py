"""What may be believed of a number is decided once, whoever asks."""

import math

import polars as pl
import pytest
import torch

from infoplane.estimators import Estimate, Null, kde_information, relative_noise_variance
from infoplane.findings.curves import read_curves
from infoplane.records.standing import NEAR_NATS, NUMERICAL_ERROR, null_like, saturated, with_standing
from infoplane.records.sweeps import SweepMeasurement, sweep_table
from infoplane.records.tables import (
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    NOISY,
    RELATIVE_NOISE,
    SWEPT_NOISE,
    Measurement,
    measurement_table,
)
from infoplane.report.bits import in_bits

CEILING = math.log(1000)
# estimator, quantity, value, ceiling, whether it is saturated
CASES = [
    (KDE_BD, INPUT_INFORMATION, 0.94 * CEILING, CEILING, False),
    (KDE_BD, INPUT_INFORMATION, 0.96 * CEILING, CEILING, True),
    (KDE_BD, INPUT_INFORMATION, CEILING - NEAR_NATS + 0.1, CEILING, False),
    (NOISY, INPUT_INFORMATION, CEILING - NEAR_NATS - 0.1, CEILING, False),
    (NOISY, INPUT_INFORMATION, CEILING - NEAR_NATS + 0.1, CEILING, True),
    (NOISY, LABEL_INFORMATION, math.log(10) - 0.5, math.log(10), False),
    (DECODED, LABEL_INFORMATION, math.log(10), math.log(10), False),
    (DECODED_TRANSFER, LABEL_INFORMATION, math.log(10), math.log(10), False),
    (KDE_BD, LABEL_INFORMATION, 0.0, 0.0, True),
    (KDE_BD, LABEL_INFORMATION, 5.0, None, False),
]


def measured(estimator, quantity, value, ceiling, **facts):
    return Measurement(
        **{
            "study": "flow", "seed": 0, "training": "normal", "epoch": 0, "split": "test", "examples": "original",
            "layer_index": 0, "layer": "fc1", "estimator": estimator, "kind": "estimate", "quantity": quantity,
            "distribution": "mixture", "value_nats": value, "ceiling_nats": ceiling, "saturated": False,
            "samples": 1000, "features": 4,
        }
        | facts
    )  # fmt: skip


@pytest.mark.parametrize(("estimator", "quantity", "value", "ceiling", "expected"), CASES)
def test_a_number_has_the_same_mark_in_records_findings_report_and_sweeps(
    estimator, quantity, value, ceiling, expected
):
    table = measurement_table([measured(estimator, quantity, value, ceiling)])
    sweeps = sweep_table(
        [
            SweepMeasurement(
                sweep="spread", x=1.0, replicate=0, estimator=estimator, kind="estimate", quantity=quantity,
                value_nats=value, ceiling_nats=ceiling, samples=1000, features=4, classes=10,
            )
        ]
    )  # fmt: skip
    (curve,) = read_curves(table).values()
    assert saturated(value, ceiling, estimator=estimator, quantity=quantity) is expected
    assert curve.saturated.tolist() == [expected]
    assert in_bits(table)["saturated"].to_list() == [expected]
    assert with_standing(sweeps)["saturated"].to_list() == [expected]


def test_what_an_estimator_calls_saturated_itself_stays_so_unless_it_is_held_out():
    rows = [measured(name, LABEL_INFORMATION, 1.0, 2.0, saturated=True) for name in (KDE_BD, DECODED)]
    assert with_standing(measurement_table(rows))["saturated"].to_list() == [True, False]


@pytest.mark.parametrize(("beyond", "expected"), [(0.0, True), (0.5, True), (2.0, False)])
def test_a_value_must_exceed_its_null_by_more_than_the_numerical_error(beyond, expected):
    value = 0.3 + beyond * NUMERICAL_ERROR
    table = measurement_table([measured(KDE_BD, LABEL_INFORMATION, value, 2.0, null_quantile95_nats=0.3)])
    assert null_like(value, 0.3) is expected
    assert with_standing(table)["null_like"].to_list() == [expected]


@pytest.mark.parametrize(
    ("value", "mean", "quantile", "expected"),
    [
        (1.43, 1.42, 1.425, True),  # BD-BD of 200 sparse units, of which the labels give 0.965
        (1.43, 0.7, 0.72, False),
        (1.43, 1.42, 1.45, False),  # null-like
        (0.3, 0.0001, 0.01, False),
        (-0.2, -0.3, -0.25, False),  # a mixed bound
    ],
)
def test_a_value_of_which_permuted_labels_give_more_than_half_is_mostly_null(value, mean, quantile, expected):
    nulls = {"null_mean_nats": mean, "null_quantile95_nats": quantile}
    rows = with_standing(measurement_table([measured(KDE_BD, LABEL_INFORMATION, value, 2.3, **nulls)]))
    assert rows["mostly_null"].to_list() == [expected]
    facts = {"quantity": LABEL_INFORMATION, "kind": "estimate", "distribution": "mixture", "estimator": KDE_BD}
    estimate = Estimate(**facts, value=value, null=Null(mean, quantile, ()))
    assert estimate.mostly_null is expected
    assert Estimate(**facts, value=value).mostly_null is None


@pytest.mark.parametrize(
    ("estimator", "low", "expected"),
    [(DECODED, -0.01, True), (DECODED, 0.02, False), (DECODED_BEST, -0.01, False), (DECODED_TRANSFER, -0.5, False)],
)
def test_a_linear_decoder_that_finds_nothing_is_marked(estimator, low, expected):
    rows = measurement_table([measured(estimator, LABEL_INFORMATION, low + 0.01, 2.3, interval_low=low)])
    assert with_standing(rows)["linear_zero"].to_list() == [expected]


def test_what_was_not_recorded_does_not_hold():
    table = with_standing(measurement_table([measured(KDE_BD, LABEL_INFORMATION, 1.0, None)]))
    for mark in ("saturated", "null_like", "mostly_null", "linear_zero", "undersampled"):
        assert table[mark].to_list() == [False]


@pytest.mark.parametrize(
    ("mode", "name"), [(None, "noisy"), ("fixed", "noisy"), ("relative", "noisy@relative"), ("sweep", "noisy@sweep")]
)
def test_an_estimator_is_named_with_its_noise(mode, name):
    rows = measurement_table([measured(NOISY, LABEL_INFORMATION, 1.0, 2.0, noise_mode=mode)])
    assert with_standing(rows)["estimator"].to_list() == [name]


def test_relative_noise_changes_no_mark():
    near = CEILING - NEAR_NATS + 0.1
    rows = measurement_table([measured(NOISY, INPUT_INFORMATION, near, CEILING, noise_mode="relative")])
    assert with_standing(rows)["saturated"].to_list() == [True]


def test_values_that_are_not_finite_have_no_standing():
    rows = [measured(NOISY, INPUT_INFORMATION, value, CEILING) for value in (math.nan, math.inf, 1.0)]
    assert with_standing(measurement_table(rows))["value_nats"].to_list() == [1.0]
    assert isinstance(with_standing(measurement_table([])), pl.DataFrame)


def lower_bound_row(activations, ratio, mode=RELATIVE_NOISE, **facts):
    """Return the row of the lower KDE bound of I(X;T) of a layer, at noise of `ratio` times the variance of a unit."""
    noise = relative_noise_variance(activations, ratio)
    value = kde_information(
        activations, torch.zeros(len(activations), dtype=torch.long), noise_variance=noise
    ).input_lower.value
    facts = {"noise_mode": mode, "noise_ratio": ratio, "noise_variance": noise, **facts}
    return measured(
        KDE_BD, INPUT_INFORMATION, value, math.log(len(activations)), features=activations.shape[1], **facts
    )


def marked(*rows):
    return with_standing(measurement_table(rows)).rows(named=True)


@pytest.mark.parametrize("mode", [RELATIVE_NOISE, SWEPT_NOISE])
def test_the_lower_bound_of_equal_distances_is_at_its_own_ceiling_below_log_n(mode):
    (row,) = marked(lower_bound_row(torch.eye(300), ratio=300 / 9, mode=mode))
    assert row["ceiling_nats"] == pytest.approx(9 / 4)  # a ninth of the variance of the layer: 1 / (4 share)
    assert 0.95 * 9 / 4 < row["value_nats"] < 9 / 4
    assert row["saturated"]


def test_the_lower_bound_of_two_clusters_is_far_from_it():
    clusters = torch.arange(300).remainder(2).float()[:, None]
    (row,) = marked(lower_bound_row(clusters, ratio=1 / 9))
    assert row["value_nats"] < math.log(2)
    assert not row["saturated"]


@pytest.mark.parametrize("seed", range(20))
def test_no_layer_passes_that_ceiling(seed):
    source = torch.Generator().manual_seed(seed)
    samples, features = (int(torch.randint(2, 200, (), generator=source)) for _ in range(2))
    scales = torch.rand(features, generator=source) ** 4
    layer = torch.randn(samples, features, generator=source) * scales
    for ratio in (0.1, 1.0, features / 9, 10.0 * features):
        (row,) = marked(lower_bound_row(layer, ratio))
        assert row["value_nats"] <= row["ceiling_nats"] + NUMERICAL_ERROR


def test_at_fixed_noise_and_of_distorted_examples_the_ceiling_is_log_n():
    at_fixed = lower_bound_row(torch.eye(300), ratio=300 / 9, mode="fixed")
    distorted = lower_bound_row(torch.eye(300), ratio=300 / 9, distortion="saturation", level=8.0)
    for row in marked(at_fixed, distorted):
        assert row["ceiling_nats"] == pytest.approx(math.log(300))
        assert not row["saturated"]
