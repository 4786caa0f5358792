"""Intervals of shares agree with scipy, and of paired differences with McNemar's exact test and a slow score test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from infoplane.measuring.intervals import paired_interval, paired_score_interval, wilson_interval


@given(st.integers(1, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_intervals_are_those_of_scipy(counts):
    found = wilson_interval(*counts)
    expected = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 300))
def test_paired_intervals_hold_those_of_clopper_and_pearson_and_of_the_score_test(first, second, others):
    trials = first + second + others
    found, score = paired_interval(first, second, trials), paired_score_interval(first, second, trials)
    if first + second == 0:
        assert found == score
        return
    share = binomtest(first, first + second).proportion_ci(0.95, method="exact")
    exact = [(first + second) / trials * (2 * end - 1) for end in share]
    assert found == pytest.approx((min(exact[0], score.low), max(exact[1], score.high)), abs=1e-9)
    assert found.low <= (first - second) / trials <= found.high


def slow_score(first, second, trials, difference):
    """The score statistic, with the share of `second` found by maximising the likelihood of the trinomial."""

    def unlikely(share):
        shares = np.array([share + difference, share, 1 - 2 * share - difference])
        counts = np.array([first, second, trials - first - second])
        return -sum(number * math.log(max(one, 1e-300)) for number, one in zip(counts, shares, strict=True) if number)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    share = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (first - second - trials * difference) / math.sqrt(trials * (2 * share + difference - difference**2))


@pytest.mark.parametrize(
    ("first", "second", "trials"), [(12, 2, 50), (5, 9, 40), (3, 0, 200), (1, 1, 20), (30, 10, 60)]
)
def test_the_score_is_the_normal_quantile_at_both_ends(first, second, trials):
    found = paired_score_interval(first, second, trials)
    # bounded minimisation finds the share to some 1e-6, at a boundary of the likelihood too
    assert slow_score(first, second, trials, found.low) == pytest.approx(1.959964, abs=2e-3)
    assert slow_score(first, second, trials, found.high) == pytest.approx(-1.959964, abs=2e-3)


@pytest.mark.parametrize("trials", [20, 200])
def test_without_a_difference_the_interval_does_not_collapse(trials):
    end = 1.959964**2 / (trials + 1.959964**2)  # n d^2 = z^2 d (1 - d): the other share is 0 there
    assert paired_score_interval(0, 0, trials) == pytest.approx((-end, end), abs=1e-6)
    assert paired_interval(0, 0, trials) == pytest.approx((-end, end), abs=1e-6)
    assert paired_interval(0, 1, trials).high > 2 * 0.95 / trials  # the exact interval ends at 0.95 / trials


def test_where_all_differ_the_interval_ends_at_one():
    # n (1 - d) = z^2 (1 + d)
    expected = (30 - 1.959964**2) / (30 + 1.959964**2)
    assert paired_score_interval(30, 0, 30) == pytest.approx((expected, 1), abs=1e-6)
    assert paired_score_interval(0, 30, 30) == pytest.approx((-1, -expected), abs=1e-6)


@pytest.mark.parametrize("shares", [(0.012, 0.0), (0.02, 0.008), (0.1, 0.088)])
def test_score_intervals_cover_a_true_gain_of_a_point_or_so(shares):
    """A t interval covers 91 % in the first case: it is [0, 0] in 9 % of all draws, where no image differs."""
    draws = np.random.default_rng(0).multinomial(200, [*shares, 1 - sum(shares)], size=2000)
    ends = {pair: paired_score_interval(*pair, 200) for pair in {(int(a), int(b)) for a, b, _ in draws}}
    held = [ends[int(a), int(b)] for a, b, _ in draws]
    # three binomial errors of 2,000 draws: 0.015; score intervals of few examples are known to lose another point
    assert np.mean([one.low <= 0.012 <= one.high for one in held]) > 0.95 - 0.025


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
