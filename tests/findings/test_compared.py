import numpy as np
import pytest
from scipy import stats

from infoplane.findings.compared import Sample, difference, together
from infoplane.findings.evidence import Paired, t_quantile

GROUPS, TRUE = 20, 0.4
REPLICATES = 600
# A 95 % interval covers within three standard errors of a share over 600 replicates.
LIMIT = 3 * np.sqrt(0.95 * 0.05 / REPLICATES)
GENERATOR = np.random.default_rng()
GAUSS = GENERATOR.standard_normal


@pytest.fixture(autouse=True)
def _seeded():
    """Draw the same numbers in every test, whichever run before it."""
    GENERATOR.bit_generator.state = np.random.default_rng(7).bit_generator.state


def sample(groups, seeds=None):
    groups = np.atleast_2d(groups)
    nothing = np.full(len(groups), np.nan)
    paired = Paired(values=groups.mean(axis=1), groups=groups)
    return Sample(paired, nothing, tuple(seeds or range(len(groups))))


def planted(seeds, examples, *, between=1.0, within=1.0, shift=0.0, first_seed=0):
    """A run: seeds stray by `between`, all see the same examples, and each network responds to them in its own way."""
    own = between * GAUSS((seeds, 1)) + within * np.sqrt(GROUPS) * GAUSS((seeds, GROUPS))
    return sample(shift + examples + own, range(first_seed, first_seed + seeds))


def intervals(seeds, *, same_examples=True, **facts):
    found = []
    for _ in range(REPLICATES):
        examples = 5 * GAUSS(GROUPS)
        first = planted(seeds, examples, first_seed=0)
        second = planted(seeds, examples if same_examples else 5 * GAUSS(GROUPS), first_seed=100, **facts)
        found.append(difference(first, second, same_examples=same_examples).interval())
    return np.array(found)


@pytest.mark.parametrize("same_examples", [True, False])
@pytest.mark.parametrize("seeds", [4, 8])
def test_a_run_against_itself_under_other_seeds_covers_0_at_the_stated_rate(seeds, same_examples):
    low, high = intervals(seeds, same_examples=same_examples).T
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=LIMIT)


def test_one_seed_covers_what_other_examples_would_give_for_the_same_networks():
    hits = []
    for _ in range(REPLICATES):
        examples = 5 * GAUSS(GROUPS)
        one, two = (sample(examples + shift + GAUSS(GROUPS)) for shift in (3.0, 3.0 + TRUE))
        low, high = difference(one, two, same_examples=True).interval()
        hits.append(low <= TRUE <= high)
    assert np.mean(hits) == pytest.approx(0.95, abs=LIMIT)


def test_a_planted_difference_is_found_with_its_sign():
    low, high = intervals(4, shift=8.0).T  # eight times the spread of a seed
    assert np.mean(low > 0) > 0.95
    low, high = intervals(4, shift=-8.0).T
    assert np.mean(high < 0) > 0.95


def test_intervals_hold_together_over_layers():
    layers = 10
    found = []
    for _ in range(REPLICATES // 2):
        examples = 5 * GAUSS(GROUPS)
        ends = [
            difference(planted(6, examples), planted(6, examples, first_seed=100), same_examples=True).interval(
                together(0.05, layers)
            )
            for _ in range(layers)
        ]
        found.append(all(low <= 0 <= high for low, high in ends))
    assert np.mean(found) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / (REPLICATES // 2))


def test_pairing_removes_what_the_examples_do_to_both_runs():
    examples = 100 * GAUSS(GROUPS)
    one, two = sample(examples + GAUSS(GROUPS)), sample(examples + GAUSS(GROUPS))
    paired, apart = (difference(one, two, same_examples=same).interval() for same in (True, False))
    assert paired[1] - paired[0] < (apart[1] - apart[0]) / 20


def test_with_one_seed_the_paired_interval_is_students_over_groups():
    one, two = (sample(GAUSS(GROUPS)) for _ in range(2))
    expected = stats.ttest_rel(two.paired.groups[0], one.paired.groups[0]).confidence_interval(0.95)
    assert difference(one, two, same_examples=True).interval() == pytest.approx(tuple(expected))


def test_with_one_seed_and_other_examples_the_interval_is_welchs():
    one, two = sample(GAUSS(GROUPS)), sample(3 * GAUSS(GROUPS))
    expected = stats.ttest_ind(two.paired.groups[0], one.paired.groups[0], equal_var=False).confidence_interval(0.95)
    assert difference(one, two, same_examples=False).interval() == pytest.approx(tuple(expected))


def test_without_errors_over_examples_the_interval_is_welchs_over_seeds():
    one, two = (GAUSS((number, 1)) * np.ones(GROUPS) for number in (3, 5))
    expected = stats.ttest_ind(two[:, 0], one[:, 0], equal_var=False).confidence_interval(0.95)
    found = difference(sample(one), sample(two, range(10, 15)), same_examples=True)
    assert found.covers_seeds
    assert found.interval() == pytest.approx(tuple(expected))


def test_the_same_seeds_are_paired():
    networks = 50 * GAUSS((6, 1))
    one, two = (networks + GAUSS((6, GROUPS)) for _ in range(2))
    same = difference(sample(one), sample(two), same_examples=True).interval()
    other = difference(sample(one), sample(two, range(10, 16)), same_examples=True).interval()
    assert same[1] - same[0] < (other[1] - other[0]) / 10


def test_an_interval_of_one_seed_does_not_claim_to_cover_seeds():
    assert not difference(sample(GAUSS(GROUPS)), planted(3, 0.0), same_examples=True).covers_seeds


def test_equal_runs_differ_by_nothing():
    one = planted(3, GAUSS(GROUPS))
    assert difference(one, one, same_examples=True).interval() == (0, 0)


def test_without_group_means_standard_errors_are_used():
    one, two = (
        Sample(Paired(values=np.array([value]), groups=np.empty((1, 0))), np.array([error]), (0,))
        for value, error in ((1.0, 0.3), (2.0, 0.4))
    )
    half = t_quantile(0.05, np.inf) * 0.5
    assert difference(one, two, same_examples=True).interval() == pytest.approx((1 - half, 1 + half))


def test_without_any_error_there_is_no_interval():
    one = Sample(Paired(values=np.ones(1), groups=np.empty((1, 0))), np.array([np.nan]), (0,))
    assert difference(one, one, same_examples=True).interval() is None


def test_empty_groups_are_left_out():
    own, other = GAUSS(GROUPS), GAUSS(GROUPS)
    gap = np.full(2, np.nan)
    values = Paired(values=np.array([own.mean()]), groups=np.concatenate([own, gap])[None])
    holed = Sample(values, np.zeros(1), (0,))
    rest = Sample(Paired(values=np.array([other.mean()]), groups=np.concatenate([other, gap])[None]), np.zeros(1), (0,))
    assert difference(holed, rest, same_examples=True) == difference(sample(own), sample(other), same_examples=True)


def test_groups_that_are_empty_in_one_run_only_are_left_out_of_both():
    # Every other group differs by exactly 1: paired, the interval has no width.
    one, two = np.arange(6.0) ** 2, np.arange(6.0) ** 2 + 1
    one[1], two[4] = np.nan, np.nan
    runs = [Sample(Paired(values=np.array([value]), groups=own[None]), np.array([np.nan]), (0,))
            for value, own in ((10.0, one), (11.0, two))]  # fmt: skip
    found = difference(*runs, same_examples=True)
    assert found.interval() == pytest.approx((1.0, 1.0))
    assert found.examples.freedom == 3  # four groups are in both
