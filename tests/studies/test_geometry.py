import math

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from sklearn.metrics import normalized_mutual_info_score
from tests.few_places import keep_few_places

from infoplane.config import GeometryConfig
from infoplane.records.sweeps import (
    BINS,
    DIMENSION,
    DIMENSION_FIXED,
    NOISE,
    PICTURES,
    PURITY,
    SAMPLES,
    SAMPLES_APART,
    SPREAD,
    SWEEP_SCHEMA,
    TIGHTNESS,
)
from infoplane.records.tables import BINNING, DECODED, INPUT_INFORMATION, KDE_BD, KDE_KL, LABEL_INFORMATION, NOISY
from infoplane.studies.sweeps.geometry import CLOUD_SCHEMA, geometry_sweeps
from infoplane.studies.sweeps.sweep_rows import Draw, sweep_rows
from infoplane.studies.sweeps.trends import trends

CONFIG = GeometryConfig(points=200, replicates=3, permutations=5)
GUESSES = (KDE_BD, KDE_KL, NOISY, BINNING)


@pytest.fixture(scope="module")
def records():
    return geometry_sweeps(CONFIG)


@pytest.fixture(scope="module")
def rows(records):
    return records.measurements


@pytest.fixture(scope="module")
def directions(rows):
    found = trends(rows)
    return {(row["sweep"], row["estimator"], row["quantity"]): row["direction"] for row in found.to_dicts()}


def curve(rows, sweep, estimator, quantity, column="value_nats"):
    """Means over the replicates by x."""
    own = rows.filter(sweep=sweep, estimator=estimator, quantity=quantity)
    means = own.group_by("x").agg(pl.col(column).mean()).sort("x")
    return dict(means.rows())


@pytest.mark.parametrize("quantity", [INPUT_INFORMATION, LABEL_INFORMATION])
@pytest.mark.parametrize("estimator", GUESSES)
def test_estimates_rise_with_the_spread_alone(rows, directions, estimator, quantity):
    assert directions[SPREAD, estimator, quantity] == "rises"
    values = list(curve(rows, SPREAD, estimator, quantity).values())
    ceiling = rows.filter(sweep=SPREAD, quantity=quantity)["ceiling_nats"][0]
    assert values[0] < 0.25 * ceiling
    assert values[-1] > 0.95 * ceiling


def test_the_decoder_does_not_see_the_spread(rows, directions):
    own = rows.filter(sweep=SPREAD, estimator=DECODED)
    assert directions[SPREAD, DECODED, LABEL_INFORMATION] == "level"
    for _, draw in own.group_by("replicate"):
        assert draw["value_nats"].max() - draw["value_nats"].min() < 0.1 * draw["standard_error"].min()
    # noise-free truth, the same at every scale, within three errors of a decoder of 200 points
    assert own["truth_nats"].n_unique() == 1
    assert own["value_nats"].mean() == pytest.approx(own["truth_nats"][0], abs=0.15)


def test_tightness_is_swept_at_equal_total_variance(rows):
    own = rows.filter(sweep=TIGHTNESS)
    assert own["x"].n_unique() >= 8
    assert (own["unit_variance"] - 1).abs().max() < 1e-6
    assert own["x"].equals(own["tightness"].rename("x"))


@pytest.mark.parametrize("estimator", [*GUESSES, DECODED])
def test_label_information_rises_with_tightness_from_mixed_to_tight(rows, directions, estimator):
    assert directions[TIGHTNESS, estimator, LABEL_INFORMATION] == "rises"
    values = curve(rows, TIGHTNESS, estimator, LABEL_INFORMATION)
    assert values[0.98] == pytest.approx(math.log(4), abs=0.1)
    assert values[0.98] - values[0.0] > 0.8


@pytest.mark.parametrize("estimator", GUESSES)
def test_purer_labels_of_the_same_points_change_label_information_only(rows, directions, estimator):
    for _, draw in rows.filter(sweep=PURITY, estimator=estimator, quantity=INPUT_INFORMATION).group_by("replicate"):
        assert draw["value_nats"].max() - draw["value_nats"].min() < 1e-6
    assert directions[PURITY, estimator, INPUT_INFORMATION] == "level"
    assert directions[PURITY, estimator, LABEL_INFORMATION] == "rises"


@pytest.mark.parametrize(("sweep", "estimators"), [(NOISE, (KDE_BD, KDE_KL, NOISY)), (BINS, (BINNING,))])
def test_estimates_fall_as_noise_and_bins_widen(rows, directions, sweep, estimators):
    assert set(rows.filter(sweep=sweep)["estimator"]) == set(estimators)
    for estimator in estimators:
        assert directions[sweep, estimator, INPUT_INFORMATION] == "falls"
        assert directions[sweep, estimator, LABEL_INFORMATION] == "falls"


@pytest.mark.parametrize("estimator", GUESSES)
def test_far_apart_estimates_follow_log_n_though_the_truth_does_not(rows, estimator):
    values = curve(rows, SAMPLES_APART, estimator, INPUT_INFORMATION)
    truths = list(curve(rows, SAMPLES_APART, estimator, INPUT_INFORMATION, "truth_nats").values())
    assert len(values) >= 5
    for samples, value in values.items():
        assert value == pytest.approx(math.log(samples), abs=0.02)
    assert truths == pytest.approx([truths[0]] * len(values))
    assert truths[0] > math.log(max(values)) + 1
    assert rows.filter(sweep=SAMPLES_APART, estimator=estimator)["saturated"].all()


def test_close_together_the_noisy_estimate_is_the_truth_for_any_number(rows):
    values = curve(rows, SAMPLES, NOISY, INPUT_INFORMATION)
    truths = curve(rows, SAMPLES, NOISY, INPUT_INFORMATION, "truth_nats")
    assert max(values) == 2 * CONFIG.points
    # three draws of 400 points: standard error about 0.04
    assert values[max(values)] == pytest.approx(truths[max(values)], abs=0.12)
    assert len({round(truth, 9) for truth in truths.values()}) == 1


def test_units_of_noise_take_every_estimate_but_the_decoders_to_its_ceiling(rows):
    for estimator in GUESSES:
        for quantity in (INPUT_INFORMATION, LABEL_INFORMATION):
            at_end = rows.filter(sweep=DIMENSION, estimator=estimator, quantity=quantity, x=1000.0)
            assert at_end["saturated"].all()
            if quantity == LABEL_INFORMATION:
                assert (at_end["null_quantile95_nats"] > 0.99 * at_end["value_nats"]).all()
    truths = curve(rows, DIMENSION, NOISY, LABEL_INFORMATION, "truth_nats")
    assert len({round(truth, 9) for truth in truths.values()}) == 1
    decoded = rows.filter(sweep=DIMENSION, estimator=DECODED)
    assert (decoded["value_nats"] < decoded["truth_nats"]).all()
    assert not decoded["saturated"].any()


def test_at_fixed_capacity_the_bounds_part_by_a_factor_of_four(rows):
    truths = curve(rows, DIMENSION_FIXED, NOISY, INPUT_INFORMATION, "truth_nats")
    assert list(truths.values()) == pytest.approx([2.0] * len(truths))
    lower, upper = (curve(rows, DIMENSION_FIXED, one, INPUT_INFORMATION)[1000.0] for one in (KDE_BD, KDE_KL))
    # distances are all alike there: the exponents d / 2 and d / 8 are 4 and 1 nats, less what 1/N adds to the mean
    assert lower == pytest.approx(1.0, abs=0.1)
    assert 3.4 < upper < 4.0
    labels = rows.filter(sweep=DIMENSION_FIXED, quantity=LABEL_INFORMATION, estimator=NOISY)
    assert (labels["truth_nats"] == 0).all()


def test_binned_truths_are_where_estimates_of_coarse_bins_come_to(rows):
    own = rows.filter(sweep=BINS, x=4.0)
    assert ((own["value_nats"] - own["truth_nats"]).abs() < 0.15).all()
    fine = rows.filter(sweep=BINS, x=2.0**-8, quantity=INPUT_INFORMATION)
    assert fine["value_nats"].to_list() == pytest.approx([math.log(200)] * 3, abs=0.02)
    assert (fine["truth_nats"] > 13).all()


def test_a_cloud_smaller_than_a_bin_shows_bins_where_it_lies(rows):
    own = rows.filter(sweep=SPREAD, x=2.0**-4, estimator=BINNING, quantity=INPUT_INFORMATION)
    assert own["truth_nats"].n_unique() == 3  # each replicate has a place of its own
    # 200 points in up to four cells: the entropy's standard error is about 0.05
    assert own["value_nats"].to_list() == pytest.approx(own["truth_nats"].to_list(), abs=0.15)


def test_no_decoded_value_counts_as_saturated(rows):
    decoded = rows.filter(estimator=DECODED)
    assert (decoded["value_nats"] > 0.95 * decoded["ceiling_nats"]).any()
    assert not decoded["saturated"].any()


def test_the_seed_decides_noise_and_permutations_too():
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    draw = Draw(points, torch.arange(100) % 2, noise_variance=1.0, bin_width=None, decoded=False)
    first, again, other = (
        list(sweep_rows(draw, seed, 5, {"sweep": SPREAD, "x": 1.0, "replicate": 0})) for seed in (0, 0, 1)
    )
    assert first == again
    noisy, other_noisy = (next(row for row in found if row.estimator == NOISY) for found in (first, other))
    assert noisy.value_nats != other_noisy.value_nats
    upper, other_upper = ([row for row in found if row.estimator == KDE_KL][1] for found in (first, other))
    assert upper.value_nats == other_upper.value_nats
    assert upper.null_quantile95_nats != other_upper.null_quantile95_nats


def test_replicates_are_draws_of_their_own_and_all_settings_are_recorded(rows):
    assert rows.schema == SWEEP_SCHEMA
    at_one = rows.filter(sweep=SPREAD, x=1.0, estimator=NOISY, quantity=INPUT_INFORMATION)
    assert at_one["value_nats"].n_unique() == 3
    assert set(at_one.select("samples", "features", "classes", "noise_variance").rows()) == {(200, 2, 4, 0.1)}
    assert rows.filter(estimator=BINNING, sweep=SPREAD)["bin_width"].unique().to_list() == [0.5]
    assert rows.filter(estimator=DECODED)["noise_variance"].is_null().all()
    assert not rows.select("sweep", "x", "replicate", "estimator", "quantity").is_duplicated().any()


def test_the_same_seed_gives_the_same_records_and_another_seed_others(monkeypatch):
    keep_few_places(monkeypatch)
    config = GeometryConfig(points=100, replicates=2, permutations=1)
    first, again = (geometry_sweeps(config) for _ in range(2))
    assert_frame_equal(first.measurements, again.measurements)
    other = geometry_sweeps(config.model_copy(update={"seed": 1}))
    assert not first.clouds.equals(other.clouds)
    unequal = first.measurements["value_nats"] != other.measurements["value_nats"]
    assert unequal.mean() > 0.8  # all but those at their ceilings


def test_the_four_pictures_hold_the_points_that_were_measured(records):
    clouds, pictured = records.clouds, records.measurements.filter(sweep=PICTURES)
    assert clouds.schema == CLOUD_SCHEMA
    seen = pictured.unique("x").sort("x").select("spread", "tightness").rows()
    assert len({spread for spread, _ in seen}) == len({tightness for _, tightness in seen}) == 2
    assert len(set(seen)) == 4
    for picture, (spread, _) in enumerate(seen):
        points = clouds.filter(picture=picture)
        assert len(points) == 200
        variances = torch.tensor(points.select("x", "y").rows(), dtype=torch.double).var(dim=0, correction=0)
        assert variances.mean().item() == pytest.approx(spread**2, rel=1e-9)
        # binned by hand, with scikit-learn's mutual information
        codes = [f"{x // 0.5} {y // 0.5}" for x, y in points.select("x", "y").rows()]
        own = pictured.filter(x=picture, replicate=0, estimator=BINNING)
        scores = dict(own.select("quantity", "value_nats").rows())
        arithmetic = normalized_mutual_info_score(points["label"], codes)
        expected = arithmetic * (math.log(4) + scores[INPUT_INFORMATION]) / 2
        assert scores[LABEL_INFORMATION] == pytest.approx(expected, abs=1e-9)
