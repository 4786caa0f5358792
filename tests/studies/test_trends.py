import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel

from infoplane.records.sweeps import PICTURES, SweepMeasurement, sweep_table
from infoplane.studies.sweeps.trends import TREND_SCHEMA, direction, trends

NOISE = np.array([0.004, -0.003, 0.001, 0.002, -0.004])


def around(*means, noise=NOISE):
    """Replicates around each mean, unpaired along x."""
    return np.stack([mean + np.roll(noise, place) for place, mean in enumerate(means)])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (around(0.0, 0.1, 0.5, 0.5), "rises"),
        (around(0.5, 0.5, 0.1, 0.0), "falls"),
        (around(0.0, 0.5, 0.1), "turns"),
        (around(0.5, 0.1, 0.5), "turns"),
        (around(0.5, 0.51, 0.5, 0.49), "level"),
        (np.zeros((4, 3)), "level"),
        (around(*np.arange(0, 0.2, 0.015)), "rises"),  # every step below the threshold, their sum beyond
        (around(*np.arange(0.2, 0, -0.015)), "falls"),
        (around(0.0, 0.5, noise=100 * NOISE), "unclear"),
        (around(0.0, 0.1, 0.2, 0.19, 0.3), "rises"),  # a dip below the threshold
    ],
)
def test_a_planted_direction_is_found(values, expected):
    assert direction(values) == expected


def test_what_all_replicates_share_is_no_noise():
    # draws far apart, each of which rises by the same: paired differences see it
    offsets = np.array([0.0, 5.0, -3.0])
    assert direction(np.stack([offsets, offsets + 0.3])) == "rises"


def test_noise_alone_is_hardly_ever_called_a_direction():
    draws = np.random.default_rng(0).normal(0, 0.1, size=(400, 8, 5))
    wrong = sum(direction(values) in ("rises", "falls", "turns") for values in draws)
    # 5 % by the steps and 5 % by the ends, 10 % at most: 40 and three deviations of 6
    assert wrong < 58


def table(values, sweep="spread", truth=None, saturated=False):
    return sweep_table(
        SweepMeasurement(
            sweep=sweep, x=10.0**place, replicate=replicate, estimator="noisy", kind="estimate", quantity="I(X;T)",
            value_nats=value, truth_nats=truth, saturated=saturated and place > 0, samples=9, features=2, classes=3,
        )
        for place, row in enumerate(values)
        for replicate, value in enumerate(row)
    )  # fmt: skip


def test_a_row_says_where_a_curve_starts_and_ends_with_a_paired_interval():
    values = around(0.1, 0.4, 0.3, 0.9)
    (row,) = trends(table(values, truth=0.7, saturated=True).sample(fraction=1, shuffle=True, seed=0)).to_dicts()
    assert (row["first_x"], row["last_x"]) == (1.0, 1000.0)
    assert (row["first_nats"], row["last_nats"]) == pytest.approx((0.1, 0.9))
    expected = ttest_rel(values[-1], values[0]).confidence_interval(0.95)
    assert (row["change_low"], row["change_high"]) == pytest.approx(tuple(expected))
    assert row["change_nats"] == pytest.approx(0.8)
    assert (row["largest_step_up"], row["largest_step_down"]) == pytest.approx((0.6, -0.1))
    assert (row["first_truth_nats"], row["last_truth_nats"]) == pytest.approx((0.7, 0.7))
    assert row["saturated_share"] == 0.75
    assert row["direction"] == "turns"


def test_curves_are_told_apart_and_pictures_are_no_sweep():
    rising, falling = table(around(0, 1)), table(around(1, 0), sweep="tightness")
    pictures = table(around(0, 1), sweep=PICTURES)
    found = trends(pl.concat([rising, falling, pictures]))
    assert found.schema == TREND_SCHEMA
    assert dict(found.select("sweep", "direction").rows()) == {"spread": "rises", "tightness": "falls"}
    assert found["first_truth_nats"].null_count() == 2
    assert not any(math.isnan(value) for value in found["change_low"])
