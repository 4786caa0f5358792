"""Intervals of shares agree with scipy, and of paired differences with McNemar's exact test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from infoplane.measuring.intervals import paired_interval, wilson_interval


@given(st.integers(1, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_intervals_are_those_of_scipy(counts):
    found = wilson_interval(*counts)
    expected = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 300))
def test_paired_intervals_scale_those_of_clopper_and_pearson(first, second, others):
    trials = first + second + others
    found = paired_interval(first, second, trials)
    if first + second == 0:
        assert found == (0, 0)
        return
    share = binomtest(first, first + second).proportion_ci(0.95, method="exact")
    scale = (first + second) / trials
    assert found == pytest.approx((scale * (2 * share.low - 1), scale * (2 * share.high - 1)), abs=1e-9)
    assert found.low <= (first - second) / trials <= found.high


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_paired_interval_leaves_out_zero_where_the_exact_test_of_mcnemar_rejects(first, second):
    found = paired_interval(first, second, 200)
    rejects = first + second > 0 and binomtest(first, first + second, 0.5).pvalue <= 0.05
    assert (found.low > 0 or found.high < 0) == rejects


def test_six_images_broken_by_one_attack_alone_are_enough_and_five_are_not():
    assert paired_interval(6, 0, 500).low > 0  # 2 / 2^6 = 0.031
    assert paired_interval(5, 0, 500).low < 0  # 2 / 2^5 = 0.063


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="successes must lie between 0 and the number of trials"):
        wilson_interval(*counts)
    with pytest.raises(ValueError, match="successes must lie between 0 and the number of trials"):
        paired_interval(counts[0], 0, counts[1])
