import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, t

from infoplane.findings.accuracies import accuracy_ends, accuracy_evidence, accuracy_of


@pytest.mark.parametrize(("right", "n"), [(0, 40), (1, 40), (37, 40), (40, 40), (335, 360)])
def test_one_seed_has_the_interval_of_wilson(right, n):
    rows = pl.DataFrame({"accuracy": [right / n], "n": [n]})
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert accuracy_ends(accuracy_of(rows)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_several_seeds_also_have_the_t_interval_over_seeds():
    values = np.array([0.80, 0.84, 0.88])
    low, high = accuracy_ends(accuracy_evidence(values, np.full(3, 1000.0)))
    wilson = binomtest(840, 1000).proportion_ci(0.95, method="wilson")
    half = t.ppf(0.975, 2) * 0.04 / math.sqrt(3)
    assert low == pytest.approx(0.84 - math.hypot(0.84 - wilson.low, half))
    assert high == pytest.approx(0.84 + math.hypot(wilson.high - 0.84, half))


def test_ends_stay_between_0_and_1():
    low, high = accuracy_ends(accuracy_evidence(np.array([0.9, 1.0]), np.full(2, 1000.0)))
    assert (low >= 0, high) == (True, 1.0)
