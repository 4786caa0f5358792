"""Intervals hold what they promise: by simulation, closed forms and textbook quantiles."""

import math

import numpy as np
import pytest
import torch

from infoplane.estimators import group_means
from infoplane.findings.evidence import (
    Evidence,
    Paired,
    average,
    average_bounds,
    jackknifed,
    normal_evidence,
    t_quantile,
    without_each_group,
)
from infoplane.measuring.layer_outputs import GROUPS, stratified_groups


def stratified_draws(replicates, sizes, seed, spread):
    """Terms of two records on the same examples, drawn class by class, and what their difference really is.

    Class means differ by `spread`, examples of a class by about 1, and the two records share most of that.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    first, second = spread * generator.standard_normal((2, len(sizes)))
    for _ in range(replicates):
        shared = generator.exponential(1.0, len(labels))
        own = 0.3 * generator.standard_normal((2, len(labels)))
        yield labels, first[labels] + shared + own[0], second[labels] + 0.5 * shared + own[1]


def truth_of(sizes, seed, spread):
    generator = np.random.default_rng(seed)
    first, second = spread * generator.standard_normal((2, len(sizes)))
    return float(np.average(first - second, weights=sizes)) + 0.5


def intervals(replicates, sizes, seed, spread):
    for number, (labels, first, second) in enumerate(stratified_draws(replicates, sizes, seed, spread)):
        labels = torch.tensor(labels)
        groups = stratified_groups(labels, torch.Generator().manual_seed(number))
        both = [group_means(torch.tensor(terms), groups, GROUPS).numpy() for terms in (first, second)]
        difference = Paired(
            values=np.array([(first - second).mean()]),
            groups=(both[0] - both[1])[None],
        )
        yield difference.evidence().interval()


def coverage(replicates, sizes, spread, seed=7):
    truth = truth_of(sizes, seed, spread)
    return np.mean([one.low <= truth <= one.high for one in intervals(replicates, sizes, seed, spread)])


def test_paired_intervals_cover_the_truth_as_often_as_they_say():
    # Three binomial spreads of 600 replicates around 95 %: 0.027. Class means lie far apart, which must not matter.
    assert coverage(600, [40] * 10, spread=3.0) == pytest.approx(0.95, abs=0.027)


def test_groups_and_classes_of_unequal_size_leave_the_coverage_about_where_it_is():
    # 450 examples: groups of 22 and 23, classes of 20 to 70
    assert coverage(600, [20, 70, 43, 47, 35, 55, 45, 45, 25, 65], spread=0.3) == pytest.approx(0.95, abs=0.027)


@pytest.mark.parametrize("sizes", [[7] * 10, [20, 70, 43, 47, 35, 55, 45, 45, 25, 65]])
def test_classes_that_do_not_divide_among_the_groups_make_intervals_wider_never_narrower(sizes):
    assert coverage(300, sizes, spread=3.0) > 0.95


def test_the_error_of_a_difference_is_that_of_the_difference():
    groups = np.array([[1.0, 2.0, 3.0, 6.0]])
    interval = Paired(values=np.array([3.0]), groups=groups).evidence().interval()
    # standard deviation of 1, 2, 3, 6 is sqrt(14 / 3); Student's t with 3 degrees of freedom has 3.182 at 97.5 %
    half = 3.1824463 * math.sqrt(14 / 3) / 2
    assert interval == pytest.approx((3 - half, 3 + half, "examples"), abs=1e-6)


def test_empty_groups_are_left_out_with_their_degree_of_freedom():
    full = Paired(values=np.array([3.0]), groups=np.array([[1.0, 2.0, 3.0, 6.0]]))
    holed = Paired(values=np.array([3.0]), groups=np.array([[1.0, math.nan, 2.0, 3.0, 6.0]]))
    assert holed.evidence().interval() == full.evidence().interval()


@pytest.mark.parametrize("groups", [np.empty((1, 0)), np.array([[1.0]]), np.array([[1.0, math.nan]])])
def test_without_two_groups_nothing_is_known(groups):
    assert Paired(values=np.array([3.0]), groups=groups).evidence().interval()[:2] == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (19, 2.0930), (1e9, 1.9600)]
)  # any table of Student's t
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(0.05, freedom) == pytest.approx(quantile, abs=1e-4)


@pytest.mark.parametrize(("spread", "basis"), [(0.1, "seeds"), (10.0, "examples")])
def test_errors_over_seeds_and_over_examples_add_and_the_wider_is_named(spread, basis):
    groups = np.tile([1 - spread, 1 + spread], (3, 10))
    interval = Paired(values=np.array([0.0, 1.0, 2.0]), groups=groups).evidence().interval()
    half_seeds = 4.3026527 / math.sqrt(3)
    half_examples = 2.0930241 * spread * math.sqrt(20 / 19) / math.sqrt(20)
    half = math.hypot(half_seeds, half_examples)
    assert interval == pytest.approx((1 - half, 1 + half, basis), abs=1e-5)


def test_ends_that_lie_unequally_far_off_each_take_the_spread_over_seeds():
    evidence = Evidence(values=np.array([0.0, 1.0, 2.0]), over_examples=lambda _: (0.5, 3.0))
    half = 4.3026527 / math.sqrt(3)
    assert evidence.interval()[:2] == pytest.approx((1 - math.hypot(0.5, half), 1 + math.hypot(2.0, half)), abs=1e-6)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0])
def test_intervals_cover_where_seeds_and_examples_both_err(seeds, ratio):
    """The error over examples is 1 and shared by all seeds; that of the mean over seeds is `ratio`."""
    generator = np.random.default_rng(seeds)
    covered = 0
    for _ in range(2000):
        shared = generator.standard_normal(GROUPS) * math.sqrt(GROUPS)
        own = ratio * math.sqrt(seeds) * generator.standard_normal(seeds)
        groups = own[:, None] + shared
        low, high, _ = Paired(values=groups.mean(axis=1), groups=groups).evidence().interval()
        covered += low <= 0 <= high
    assert covered / 2000 >= 0.93


def test_seeds_share_the_examples_so_their_groups_are_averaged_before_their_spread_is_taken():
    groups = np.array([[0.0, 2.0, 0.0, 2.0], [0.0, 2.0, 0.0, 2.0]])
    low, high, _ = Paired(values=np.array([1.0, 1.0]), groups=groups).evidence().interval()
    alone = Paired(values=np.array([1.0]), groups=groups[:1]).evidence().interval()
    assert (low, high) == alone[:2]


def test_averages_stay_paired():
    up, down = np.array([[0.0, 2.0, 4.0]]), np.array([[4.0, 2.0, 0.0]])
    whole = average([Paired(values=np.array([2.0]), groups=up), Paired(values=np.array([4.0]), groups=down)])
    assert whole.evidence().interval()[:2] == (3.0, 3.0)  # what one gains the other loses, example by example


def test_averages_of_bounds_err_together():
    parts = [Evidence(values=np.array([value]), over_examples=lambda _, v=value: (v - 1, v + 3)) for value in (0, 2)]
    assert average_bounds(parts).interval()[:2] == (0, 4)


def test_normal_errors_on_the_same_examples_do_not_shrink_with_seeds():
    evidence = normal_evidence(np.array([0.5, 0.5]), np.array([0.1, 0.1]))
    assert evidence.interval()[:2] == pytest.approx((0.5 - 0.1959964, 0.5 + 0.1959964))


def test_the_jackknife_of_a_mean_is_the_mean_of_its_groups():
    groups = np.random.default_rng(0).standard_normal((1, 20))
    rows = without_each_group(np.array([5.0]), groups)
    expected = [5.0 + np.delete(groups[0], left).mean() - groups.mean() for left in range(20)]
    assert rows[:, 0] == pytest.approx([5.0, *expected])
    found = jackknifed(rows[0], rows[1:]).evidence().interval()
    assert found[:2] == pytest.approx(Paired(values=np.array([5.0]), groups=groups).evidence().interval()[:2])


def test_the_jackknife_of_a_square_has_the_error_of_its_derivative():
    groups = 3 + 1e-4 * np.random.default_rng(0).standard_normal((1, 20))
    rows = without_each_group(groups.mean(axis=1), groups) ** 2
    low, high, _ = jackknifed(rows[0], rows[1:]).evidence().interval()
    plain = Paired(values=groups.mean(axis=1), groups=groups).evidence().interval()
    assert high - low == pytest.approx(6 * (plain.high - plain.low), rel=1e-3)


@pytest.mark.parametrize(
    ("values", "margin", "needed"),
    [
        # mean 1, spread 1. Student's t at 97.5 %: 2.571 / sqrt(6) = 1.05 with 5 degrees, 2.447 / sqrt(7) = .92 with 6
        ([0.0, 1.0, 2.0], 0.0, 7),
        ([0.9, 1.0, 1.1], 0.0, 2),  # 12.71 * .1 / sqrt(2) = .90
        ([0.0, 1.0, 2.0], 0.5, 18),  # 2.120 / sqrt(17) = .51, 2.110 / sqrt(18) = .497
        ([-1.0, 0.0, 1.0], 0.0, None),
        ([1.0], 0.0, None),
    ],
)
def test_the_number_of_seeds_that_would_decide_follows_from_their_spread(values, margin, needed):
    evidence = Paired(values=np.array(values), groups=np.zeros((len(values), 20))).evidence()
    assert evidence.seeds_needed(margin) == needed


def test_no_number_of_seeds_decides_what_the_examples_leave_open():
    evidence = Evidence(values=np.array([1.0, 1.0]), over_examples=lambda _: (-0.5, 2.5))
    assert evidence.seeds_needed() is None
    assert evidence.less(0.4).over_examples(0.05) == pytest.approx((-0.9, 2.1))
