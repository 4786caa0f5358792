import math

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.few_places import keep_few_places

from infoplane.config import LimitsConfig
from infoplane.records.sweeps import (
    CLOSED_FORM,
    CONTINUOUS_LIMIT,
    DISCRETE_LIMIT,
    LAYER_ENTROPY,
    NOISE_ENTROPY,
    SWEEP_SCHEMA,
)
from infoplane.records.tables import BINNING, INPUT_INFORMATION, KDE_BD, KDE_KL, KSG, NOISY
from infoplane.studies.sweeps.limits import PROBABILITIES, noise_limits

CONFIG = LimitsConfig(points=400, replicates=2)
H = -sum(k / 36 * math.log(k / 36) for k in range(1, 9))
SMALLEST = 4.0**-10


@pytest.fixture(scope="module")
def rows():
    return noise_limits(CONFIG)


def values(rows, sweep, estimator, quantity=INPUT_INFORMATION, column="value_nats"):
    own = rows.filter(sweep=sweep, estimator=estimator, quantity=quantity)
    return dict(own.group_by("x").agg(pl.col(column).mean()).sort("x").rows())


@pytest.mark.parametrize("estimator", [KDE_BD, KDE_KL, NOISY, BINNING])
def test_a_discrete_layer_ends_at_its_entropy(rows, estimator):
    found = values(rows, DISCRETE_LIMIT, estimator)
    # the plug-in entropy of 400 draws: bias 7/800, standard error of two draws about 0.02
    assert found[SMALLEST] == pytest.approx(H, abs=0.07)
    below = [value for width, value in found.items() if width <= 1 / 16]
    assert max(below) - min(below) < 1e-6  # there it stops: less noise gives no more
    assert values(rows, DISCRETE_LIMIT, estimator, column="truth_nats")[SMALLEST] == pytest.approx(H, abs=1e-9)


def test_the_closed_form_of_the_discrete_layer_is_its_entropy_up_to_boxes_that_touch(rows):
    found = values(rows, DISCRETE_LIMIT, CLOSED_FORM)
    assert sum(PROBABILITIES) == pytest.approx(1)
    assert all(value == pytest.approx(H) for width, value in found.items() if width <= 1)
    assert found[4.0] < H - 1


@pytest.mark.parametrize("estimator", [KDE_BD, KDE_KL, NOISY, BINNING])
def test_estimates_of_a_continuous_layer_end_at_log_n_and_the_truth_does_not(rows, estimator):
    found = values(rows, CONTINUOUS_LIMIT, estimator)
    truths = values(rows, CONTINUOUS_LIMIT, estimator, column="truth_nats")
    assert found[SMALLEST] == pytest.approx(math.log(400), abs=0.01)
    assert truths[SMALLEST] > 13
    at_end = rows.filter(sweep=CONTINUOUS_LIMIT, estimator=estimator, x=SMALLEST)
    assert at_end["saturated"].all()
    assert at_end["ceiling_nats"].to_list() == pytest.approx([math.log(400)] * 2)


def test_nearest_neighbours_end_below_log_n(rows):
    found = list(values(rows, CONTINUOUS_LIMIT, KSG).values())
    assert found[1] - found[0] == pytest.approx(0, abs=0.01)
    assert found[0] < math.log(400) - 0.5


@pytest.mark.parametrize(("estimator", "tolerance"), [(NOISY, 0.1), (KSG, 0.2), (BINNING, 0.1)])
def test_wide_noise_is_measured_right(rows, estimator, tolerance):
    for sweep in (DISCRETE_LIMIT, CONTINUOUS_LIMIT):
        found, truths = values(rows, sweep, estimator), values(rows, sweep, estimator, column="truth_nats")
        for width in (1 / 16, 1 / 4):
            assert found[width] == pytest.approx(truths[width], abs=tolerance)


def test_the_bounds_hold_the_truth_while_far_from_log_n(rows):
    for sweep in (DISCRETE_LIMIT, CONTINUOUS_LIMIT):
        truths = values(rows, sweep, NOISY, column="truth_nats")
        lower, upper = (values(rows, sweep, one) for one in (KDE_BD, KDE_KL))
        for width in (1 / 4, 1.0, 4.0):
            assert lower[width] - 0.05 < truths[width] < upper[width] + 0.05


def test_entropies_of_the_box_differ_by_the_information(rows):
    layer, noise, information = (
        values(rows, CONTINUOUS_LIMIT, CLOSED_FORM, quantity)
        for quantity in (LAYER_ENTROPY, NOISE_ENTROPY, INPUT_INFORMATION)
    )
    for width, value in information.items():
        assert noise[width] == pytest.approx(math.log(width))
        assert value == pytest.approx(layer[width] - noise[width])
    assert layer[SMALLEST] == pytest.approx(0, abs=1e-5)


def test_records_say_what_noise_or_bin_they_were_measured_with(rows):
    assert rows.schema == SWEEP_SCHEMA
    noisy = rows.filter(estimator=NOISY)
    assert noisy["noise_variance"].to_list() == pytest.approx((noisy["x"] ** 2 / 12).to_list())
    binned = rows.filter(estimator=BINNING)
    assert binned["bin_width"].to_list() == binned["x"].to_list()
    keys = rows.select("sweep", "x", "replicate", "estimator", "quantity")
    assert not keys.is_duplicated().any()


def test_the_same_seed_gives_the_same_records_and_another_seed_others(monkeypatch):
    keep_few_places(monkeypatch)
    first, again = (noise_limits(LimitsConfig(points=100, replicates=2)) for _ in range(2))
    assert_frame_equal(first, again)
    other = noise_limits(LimitsConfig(points=100, replicates=2, seed=1))
    for estimator in (BINNING, NOISY):  # of which only the latter draws anything itself
        own, others = (table.filter(sweep=CONTINUOUS_LIMIT, estimator=estimator) for table in (first, other))
        assert not own["value_nats"].equals(others["value_nats"])
