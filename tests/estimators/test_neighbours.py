import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import digamma
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_regression
from torch import Tensor

from infoplane.estimators import Estimate, neighbours
from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information

Pair = tuple[Tensor, Tensor]
ESTIMATORS = (ksg_information, mixed_ksg_information)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ksg(x: Tensor, y: Tensor, seed: int = 0, **settings: int) -> Estimate:
    return ksg_information(x, y, generator=seeded(seed), **settings)


def mixed(x: Tensor, y: Tensor, seed: int = 0, **settings: int) -> Estimate:
    return mixed_ksg_information(x, y, generator=seeded(seed), **settings)


def normal(samples: int, rho: float, units: int = 1, seed: int = 0) -> Pair:
    x, noise = torch.randn(2, samples, units, generator=seeded(seed), dtype=torch.double)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def shifted_uniform(samples: int, classes: int = 5) -> Pair:
    x = torch.randint(classes, (samples, 1), generator=seeded(0)).double()
    return x, x + 2 * torch.rand(samples, 1, generator=seeded(1), dtype=torch.double)


def plain_counts(in_x: np.ndarray, in_y: np.ndarray, k: int) -> list[tuple[int, int, int]]:
    """From distances, `(samples, samples)`, the counts of each sample in both, in x and in y.

    In both it is k, and in x and y what is strictly nearer than the k-th, itself included, unless others are as near.
    """
    counts = []
    for from_x, from_y in zip(in_x, in_y, strict=True):
        joint = np.maximum(from_x, from_y)
        radius = np.sort(joint)[k]
        no_farther = int((joint <= radius).sum())
        if radius == 0 or no_farther > k + 1:
            counts.append((no_farther - int(radius > 0), int((from_x <= radius).sum()), int((from_y <= radius).sum())))
        else:
            counts.append((k, int((from_x < radius).sum()), int((from_y < radius).sum())))
    return counts


def plain_mean(in_x: np.ndarray, in_y: np.ndarray, k: int) -> float:
    return float(np.mean([np.dot(digamma(parts), [1, -1, -1]) for parts in plain_counts(in_x, in_y, k)]))


def distances(points: Tensor) -> np.ndarray:
    """Largest difference over units, once these are standardised, which equal gaps survive to the last bit."""
    spread = points.std(dim=0, correction=0).numpy()
    return np.stack([(np.abs((points - point).numpy()) / spread).max(axis=1) for point in points])


# known truths


@pytest.mark.parametrize("estimate", [ksg, mixed])
@pytest.mark.parametrize(("rho", "truth"), [(0.0, 0.0), (0.75, 0.413339), (0.9, 0.830366)])
def test_two_normal_variables_have_the_information_of_their_correlation(rho, truth, estimate):
    information = estimate(*normal(2000, rho))
    # Over 50 draws of 1,000 the mean was within 0.015 of the truth.
    assert information.value == pytest.approx(truth, abs=2 * information.error + 0.015)
    assert 0.01 < information.error < 0.04


@pytest.mark.parametrize(("reach", "truth"), [(0.75, 1 / 3), (0.1, 0.1 - math.log(0.2))])
def test_a_uniform_variable_with_uniform_noise_has_a_closed_form(reach, truth):
    x, noise = torch.rand(2, 3000, 1, generator=seeded(0), dtype=torch.double)
    information = ksg(x, x + reach * (2 * noise - 1))
    # Boxes at the sharp edges reach beyond them: 0.06 nats too low at 1,000 samples and reach 0.1, less with more.
    assert information.value == pytest.approx(truth, abs=2 * information.error + 0.03)


def test_a_discrete_and_a_continuous_variable_have_their_mixed_information():
    information = mixed(*shifted_uniform(2000))
    assert information.value == pytest.approx(math.log(5) - 0.8 * math.log(2), abs=3 * information.error)


def test_copies_are_a_table_of_counts():
    x = torch.tensor([0.0, 0.0, 1.0]).repeat(40)[:, None]
    y = torch.tensor([5.0, 7.0, 7.0]).repeat(40)[:, None]
    # Cells of 40, 40 and 40; 80 and 40 in x; 40 and 80 in y.
    expected = math.log(120) + digamma(40) - (2 * digamma(80) + digamma(40)) / 3 - (digamma(40) + 2 * digamma(80)) / 3
    assert mixed(x, y).value == pytest.approx(expected)


@pytest.mark.parametrize("estimate", [ksg, mixed])
def test_independent_rectified_units_share_nothing(estimate):
    # Half of the samples of each are exactly 0, a quarter are copies of one another.
    x, y = (part.relu() for part in normal(2000, 0.0))
    information = estimate(x, y)
    # Counting in x and y only what is strictly nearer, as for continuous variables, gives 0.05.
    assert information.value == pytest.approx(0, abs=2 * information.error + 0.005)
    assert information.error < 0.015


def test_independent_units_of_few_values_share_little():
    x, y = torch.randint(30, (2, 1000, 1), generator=seeded(0)).double()
    # Counting in x and y only what is strictly nearer gives 1.3 nats.
    assert abs(mixed(x, y).value) < 0.2
    # Noise parts the ties at random, whose bias is then gone.
    information = ksg(x, y, seed=1)
    assert information.value == pytest.approx(0, abs=2 * information.error)
    assert information.error < 0.03


def test_noise_does_not_repeat_the_draws_that_the_data_were_made_of():
    x, y = ((3 * part).round() for part in normal(1000, 0.8, seed=0))
    other = ksg(x, y, seed=1)
    assert ksg(x, y, seed=0).value == pytest.approx(other.value, abs=3 * other.error)


def test_rectified_units_have_the_information_of_their_parts():
    rho, (a, b) = 0.8, (part[:, 0].numpy() for part in normal(200_000, 0.8, seed=5))
    noise = math.sqrt(1 - rho**2)
    both_off = 0.25 + math.asin(rho) / (2 * math.pi)
    density = -np.log(noise) - (rho**2 * (a**2 + b**2) - 2 * rho * a * b) / (2 * noise**2)
    one_off = norm.logcdf(-rho * np.maximum(a, b) / noise) - math.log(0.5)
    terms = np.where((a > 0) & (b > 0), density, np.where((a > 0) | (b > 0), one_off, math.log(4 * both_off)))
    x, y = (part.relu() for part in normal(2000, rho))
    information = mixed(x, y)
    assert information.value == pytest.approx(terms.mean(), abs=2 * information.error + 0.01)


def test_many_units_need_more_samples_than_there_are():
    few, more = (ksg(*normal(samples, 0.5, units=5)).value for samples in (300, 2000))
    assert few + 0.05 < more < 0.719205 - 0.1


# agreement with what is defined independently


@pytest.mark.parametrize("units", [(1, 1), (3, 2), (8, 8)])
@pytest.mark.parametrize("k", [1, 4])
def test_ksg_agrees_with_a_plain_loop(units, k):
    x = torch.randn(150, units[0], generator=seeded(0), dtype=torch.double)
    y = 3 * torch.randn(150, units[1], generator=seeded(1), dtype=torch.double) + x[:, :1]
    expected = digamma(150) + plain_mean(distances(x), distances(y), k)
    assert ksg(x, y, neighbours=k).value == pytest.approx(expected)


@pytest.mark.parametrize("units", [(1, 1), (2, 1), (8, 8)])
@pytest.mark.parametrize("k", [1, 4])
def test_mixed_ksg_agrees_with_a_plain_loop(units, k):
    x = torch.randint(3, (150, units[0]), generator=seeded(0)).double()
    y = torch.randn(150, units[1], generator=seeded(1), dtype=torch.double).relu() + x[:, :1]
    x[:60], y[:40] = 1.0, 0.0  # copies in both, and in one
    expected = math.log(150) + plain_mean(distances(x), distances(y), k)
    assert mixed(x, y, neighbours=k).value == pytest.approx(expected)


@pytest.mark.parametrize("k", [3, 5])
def test_ksg_agrees_with_scikit_learn(k):
    for rho in (0.3, 0.9):
        x, y = normal(500, rho)
        expected = mutual_info_regression(x.numpy(), y[:, 0].numpy(), n_neighbors=k, random_state=0)[0]
        assert expected > 0  # scikit-learn never returns less
        assert ksg(x, 100 * y, neighbours=k).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_trees_and_distances_in_blocks_find_the_same_neighbours(ties, monkeypatch):
    x, y = normal(300, 0.6, units=3)
    if ties:
        x, y = x.round(), y.round()
    by_trees = [estimate(x, y) for estimate in (ksg, mixed)]
    monkeypatch.setattr(neighbours, "_TREE_UNITS", 0)
    assert [estimate(x, y) for estimate in (ksg, mixed)] == by_trees
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 4 * 8 * 300 * 7)  # seven rows, and six in the last block
    assert [estimate(x, y) for estimate in (ksg, mixed)] == by_trees


def test_distances_are_never_held_all_at_once(monkeypatch):
    largest, cdist = 0, torch.cdist

    def spied(*arguments: Tensor, **settings: float) -> Tensor:
        nonlocal largest
        distances = cdist(*arguments, **settings)
        largest = max(largest, 8 * distances.numel())
        return distances

    monkeypatch.setattr(torch, "cdist", spied)
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 2**20)
    ksg(*normal(700, 0.5, units=6))
    assert 2**17 < largest <= 2**18  # a quarter each for x, y, both and the search


# properties


@pytest.mark.parametrize("estimate", [ksg, mixed])
def test_scale_place_order_and_roles_do_not_matter(estimate):
    x, y = normal(400, 0.7, units=2)
    expected = estimate(x, y)
    order = torch.randperm(400, generator=seeded(7))
    # Noise of 1e-10 parts no neighbours here; far from the origin digits are lost.
    for other in (
        estimate(1e-6 * x, 1e6 * y),
        estimate(x[order], y[order]),
        estimate(y, x),
        estimate(x + 1e5, y - 1e5),
        estimate(torch.cat([x, torch.full((400, 1), 0.1)], dim=1), y),
    ):
        assert other.value == pytest.approx(expected.value, abs=1e-4)


@pytest.mark.parametrize("transform", [torch.arcsinh, lambda x: x * x.abs().sqrt(), lambda x: (x / 2).exp()])
def test_a_monotone_map_of_each_unit_hardly_matters(transform: Callable[[Tensor], Tensor]):
    x, y = normal(2000, 0.75)
    expected = ksg(x, y)
    assert ksg(transform(x), transform(y)).value == pytest.approx(expected.value, abs=expected.error)


def test_equal_gaps_of_a_lattice_stay_equal_once_standardised():
    x = torch.arange(60.0, dtype=torch.double)[:, None] % 7
    y = torch.arange(60.0, dtype=torch.double)[:, None] % 5
    expected = math.log(60) + plain_mean(distances(x), distances(y), 3)
    assert mixed(x, y, neighbours=3).value == pytest.approx(expected)


@pytest.mark.parametrize("estimate", [ksg, mixed])
def test_a_constant_variable_tells_exactly_nothing(estimate):
    x = torch.randn(100, 2, generator=seeded(0))
    for constant in (0.0, 0.1, 1e6):  # rounding gives the last two a spread of their own
        information = estimate(x, torch.full((100, 3), constant))
        assert (information.value, information.error) == (0.0, 0.0)


@pytest.mark.parametrize("estimate", [ksg, mixed])
@pytest.mark.parametrize("scale", [1e-308, 1e-170, 1e-30, 1e30, 1e160, 1e307])
def test_the_scale_of_a_unit_does_not_matter_anywhere_in_float64(estimate, scale):
    x, y = (part.double() for part in normal(200, 0.9))
    expected = estimate(x, y)
    for other in (
        estimate(scale * x, y),
        estimate(torch.cat([scale * x, torch.full_like(x, scale)], dim=1), scale * y),
    ):
        assert other.value == pytest.approx(expected.value, abs=1e-3)


@pytest.mark.parametrize("estimate", [ksg, mixed])
@pytest.mark.parametrize(
    ("dtype", "offset", "gap"),
    [
        (torch.float32, 1.7e9, 128.0),
        (torch.bfloat16, 100.0, 0.5),
        (torch.float16, 1000.0, 0.5),
        (torch.float64, 1e16, 2.0),
        (torch.float64, 1e-170, 1e-185),
    ],
)
def test_a_signal_counts_beside_a_large_offset(estimate, dtype, offset, gap):
    x = torch.randint(2, (300, 1), generator=seeded(3))
    y = x.double() + 0.1 * torch.randn(300, 1, generator=seeded(4))
    moved = (offset + gap * x.double()).to(dtype)
    assert len(moved.unique()) == 2  # or this test says nothing
    found, expected = estimate(moved, y).value, estimate(x.double(), y).value
    assert expected > 0.6
    assert found == pytest.approx(expected, abs=1e-6)


def test_noise_follows_the_spread_and_not_the_mean():
    x, y = normal(500, 0.9)
    # Noise of 1e-10 times the mean would be a tenth of this spread.
    assert ksg(1e6 + 1e-3 * x, y).value == pytest.approx(ksg(x, y).value, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_exactly(dtype):
    x, y = (part.to(dtype) for part in normal(200, 0.5))
    assert mixed(x, y) == mixed(x.double(), y.double())


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_equally_seeded_generators_give_equal_results_and_leave_the_global_one_alone(estimate):
    x, y = normal(200, 0.5)
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - it is what must not move
    generator = seeded(4)
    first, second = (estimate(x, y, generator=generator) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert estimate(x, y, generator=seeded(4)) == first
    assert second.error != first.error


def test_the_caller_keeps_tensors_and_gradients_as_they_were():
    x, y = normal(100, 0.5)
    x.requires_grad_()
    before = x.detach().clone()
    for estimate in (ksg, mixed):
        estimate(x, y)
    assert torch.equal(x, before)
    assert x.grad is None


# errors


@pytest.mark.parametrize(("estimate", "samples", "rho"), [(ksg, 300, 0.75), (mixed, 400, 0.0)])
def test_errors_match_the_spread_over_fresh_draws(estimate, samples, rho):
    draws = [estimate(*normal(samples, rho, seed=seed), seed) for seed in range(40)]
    values = np.array([draw.value for draw in draws])
    stated = np.mean([draw.error for draw in draws])
    # A spread over 40 draws is known to 1 / sqrt(2 * 39) = 11 %; three of these.
    assert stated == pytest.approx(values.std(ddof=1), rel=0.34)
    covered = sum(draw.low <= values.mean() <= draw.high for draw in draws)
    assert covered >= 33  # Binomial(40, 0.95): fewer in 0.3 % of cases


def test_the_interval_is_1_96_errors_to_each_side():
    information = ksg(*normal(200, 0.5), neighbours=4)
    assert information.high - information.value == pytest.approx(1.959964 * information.error)
    assert information.value - information.low == pytest.approx(1.959964 * information.error)


def test_subsampling_gives_the_standard_error_of_a_mean():
    values = torch.randn(400, generator=seeded(0), dtype=torch.double)
    seen: list[Tensor] = []

    def mean(rows: Tensor) -> float:
        seen.append(rows)
        return values[rows].mean().item()

    error = neighbours.subsampling_error(mean, 400, seeded(1), parts=5)
    # The variance between 5 parts, averaged over 10 deals, is known to sqrt(2 / 40) = 22 %, the error to 11 %; three.
    assert error == pytest.approx(values.std().item() / 20, rel=0.34)
    assert {len(rows) for rows in seen} == {80}
    assert torch.equal(torch.cat(seen[:5]).sort().values, torch.arange(400))


# entrance


@pytest.mark.parametrize("estimate", ESTIMATORS)
@pytest.mark.parametrize(
    ("x", "y", "k", "message"),
    [
        (torch.ones(30), torch.ones(30, 1), 3, "x must have shape"),
        (torch.ones(30, 1), torch.ones(30, 1).long(), 3, "y must be of a float type"),
        (torch.ones(30, 1), torch.full((30, 1), math.nan), 3, "y must be finite: 30 of 30"),
        (torch.ones(30, 1), torch.ones(29, 1), 3, "x and y must have the same samples, got 30 and 29"),
        (torch.ones(30, 1), torch.ones(30, 1), 0, "neighbours must be at least 1, got 0"),
        (torch.ones(19, 1), torch.ones(19, 1), 3, "samples, for 3 neighbours, must be at least 20, got 19"),
    ],
)
def test_bad_arguments_are_named(estimate, x, y, k, message):
    with pytest.raises(ValueError, match=message):
        estimate(x, y, neighbours=k, generator=seeded(0))


def test_the_smallest_number_of_samples_is_enough():
    for estimate in (ksg, mixed):
        for units in (1, 8):
            assert math.isfinite(estimate(*normal(20, 0.5, units=units), neighbours=3).error)


# margins


def gamma_exponential(samples: int, shape: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """X of a gamma distribution, Y exponential at the rate X: I(X;Y) = psi(shape + 1) - ln(shape).

    Source: Darbellay & Vajda (2000), IEEE Trans. Inf. Theory 46, 709; used in Kraskov et al. (2004), Section III.
    """
    draws = np.random.default_rng(seed)
    rate = draws.gamma(shape, size=samples)
    both = np.stack([rate, draws.exponential(size=samples) / rate])
    return tuple(torch.from_numpy(one)[:, None] for one in both)


def test_normal_scores_find_the_information_of_units_with_long_tails():
    truth = float(digamma(1.5) - math.log(0.5))
    assert truth == pytest.approx(0.7296, abs=1e-4)
    values = {margins: [] for margins in ("standardised", "normal")}
    for seed in range(5):
        x, y = gamma_exponential(300, 0.5, seed)
        for margins, found in values.items():
            generator = torch.Generator().manual_seed(seed)
            found.append(float(ksg_information(x, y, margins=margins, error=False, generator=generator)))
    means = {margins: np.mean(found) for margins, found in values.items()}
    # the mean of five draws scatters by about 0.03
    assert means["normal"] == pytest.approx(truth, abs=0.1)
    assert means["standardised"] < 0.45


@pytest.mark.parametrize("estimate", [ksg_information, mixed_ksg_information])
def test_normal_scores_do_not_see_increasing_maps_of_a_unit(estimate, generator):
    x = torch.randn(200, 1, generator=generator, dtype=torch.double)
    y = x + torch.randn(200, 1, generator=generator, dtype=torch.double)
    seeded = torch.Generator().manual_seed
    before = estimate(x, y, margins="normal", error=False, generator=seeded(0))
    after = estimate(x.exp(), y**3, margins="normal", error=False, generator=seeded(0))
    assert after.value == pytest.approx(before.value, abs=1e-12)


@pytest.mark.parametrize("estimate", [ksg_information, mixed_ksg_information])
def test_the_value_is_the_same_without_its_error(estimate, generator):
    x, y = torch.randn(2, 100, 1, generator=generator, dtype=torch.double)
    seeded = torch.Generator().manual_seed
    plain, quick = (estimate(x, y, error=error, generator=seeded(0)) for error in (True, False))
    assert quick.value == plain.value
    assert quick.error is None
    assert quick.low is None
    assert plain.error > 0


def test_margins_are_checked(generator):
    x = torch.randn(100, 1, generator=generator)
    with pytest.raises(ValueError, match="margins must be 'standardised' or 'normal', got 'ranks'"):
        ksg_information(x, x, margins="ranks", generator=generator)
