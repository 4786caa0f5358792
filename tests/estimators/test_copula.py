import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.special import polygamma
from scipy.stats import norm, rankdata
from sklearn.cross_decomposition import CCA
from torch import Tensor

from infoplane.estimators.copula import CopulaInformation, copula_information


def numbers(result: CopulaInformation) -> list[float]:
    return [result.value, result.error, result.low, result.high]


def normal(samples: int, features: int, seed: int) -> Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def pairs(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Each unit of one layer correlated with the same unit of the other."""
    x = normal(samples, units, seed)
    return x, correlation * x + math.sqrt(1 - correlation**2) * normal(samples, units, 10_000 + seed)


def equicorrelated(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """All units of both layers correlated with each other."""
    common = normal(samples, 1, 10_000 + seed)
    points = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * normal(samples, 2 * units, seed)
    return points[:, :units], points[:, units:]


def draws_of(task, replicates: int, *settings) -> list[CopulaInformation]:
    return [copula_information(*task(*settings, seed)) for seed in range(replicates)]


# known truths


@pytest.mark.parametrize(
    ("task", "units", "correlation", "truth"),
    [
        (pairs, 1, 0.75, 0.413339),
        (pairs, 1, 0.9, 0.830366),
        (pairs, 5, 0.5, 0.719205),
        (equicorrelated, 3, 0.5, 0.413339),
        (equicorrelated, 5, 0.5, 0.592812),
        (equicorrelated, 25, 0.5, 1.292184),
    ],
)
def test_gaussian_layers_have_their_information_within_the_stated_error(task, units, correlation, truth):
    draws = draws_of(task, 100, 400, units, correlation)
    values = np.array([draw.value for draw in draws])
    spread = values.std(ddof=1)
    # Three standard errors of the mean, and ranks, which attenuate a correlation of 0.9 by 1 % of its information.
    assert values.mean() == pytest.approx(truth, abs=3 * spread / 10 + 0.012 * truth)
    # A spread over 100 draws is known to 7 %; the jackknife exceeds it by the order of units / samples.
    assert 0.8 < np.mean([draw.error for draw in draws]) / spread < 1.35
    # 95 of 100, three binomial spreads; more where the jackknife is conservative.
    assert sum(draw.low <= truth <= draw.high for draw in draws) >= 88


@pytest.mark.parametrize(("samples", "units"), [(500, 1), (500, 20), (120, 50)])
def test_unrelated_layers_have_none_on_average_and_an_error_that_covers_it(samples, units):
    draws = [
        copula_information(normal(samples, units, seed), normal(samples, units, 10_000 + seed)) for seed in range(100)
    ]
    values = np.array([draw.value for draw in draws])
    spread = values.std(ddof=1)
    assert values.mean() == pytest.approx(0, abs=3 * spread / 10)
    assert values.min() < 0
    assert min(draw.error for draw in draws) > 0.75 * spread
    assert sum(draw.low <= 0 <= draw.high for draw in draws) >= 88


def test_the_error_for_unrelated_layers_is_at_least_that_of_wilks_lambda():
    # 1 - r^2 of 500 normal pairs is Beta(249, 1/2), whose logarithm has the variance psi'(249) - psi'(249.5).
    smallest = math.sqrt(polygamma(1, 249) - polygamma(1, 249.5)) / 2
    errors = [copula_information(normal(500, 1, seed), normal(500, 1, 100 + seed)).error for seed in range(30)]
    assert min(errors) == pytest.approx(smallest, rel=1e-5)


def test_nearly_as_many_units_as_samples_stay_unbiased():
    draws = draws_of(equicorrelated, 100, 60, 29, 0.5)
    truth = 0.5 * math.log((1 + 28 / 2) ** 2 / (0.5 * (1 + 57 / 2)))
    spread = np.std([draw.value for draw in draws], ddof=1)
    assert np.mean([draw.value for draw in draws]) == pytest.approx(truth, abs=3 * spread / 10)


# independent implementations


def scores(points: Tensor) -> np.ndarray:
    return norm.ppf(rankdata(points.numpy(), axis=0) / (len(points) + 1))


def test_correlations_are_the_canonical_ones_of_normal_scores():
    x, y = pairs(300, 4, 0.6, seed=1)
    y = y[:, :2] ** 3 + x[:, 2:] ** 3
    result = copula_information(x, y)
    cca = CCA(n_components=2, scale=False, max_iter=10_000, tol=1e-12).fit(scores(x), scores(y))
    variates = cca.transform(scores(x), scores(y))
    expected = [abs(np.corrcoef(u, v)[0, 1]) for u, v in zip(*(part.T for part in variates), strict=True)]
    assert result.correlations == pytest.approx(expected, abs=1e-6)


def plug_in(scored: np.ndarray, units: int) -> float:
    covariance = np.cov(scored.T)
    parts = covariance[:units, :units], covariance[units:, units:], covariance
    x, y, both = (np.linalg.slogdet(part)[1] for part in parts)
    return float(0.5 * (x + y - both))


def psi_half(m: int) -> float:
    """Digamma of m / 2 from its recurrence."""
    start = -np.euler_gamma - (2 * math.log(2) if m % 2 else 0)
    return float(start + sum(2 / k for k in range(2 - m % 2, m, 2)))


@pytest.mark.parametrize(("samples", "units", "others"), [(40, 3, 5), (21, 4, 2), (12, 4, 6)])
def test_value_and_error_agree_with_determinants_and_a_loop_of_jackknives(samples, units, others):
    x, y = pairs(samples, max(units, others), 0.7, seed=2)
    x, y = x[:, :units], y[:, :others]
    scored = np.hstack([scores(x), scores(y)])

    def bias(dimensions: int) -> float:
        return 0.5 * sum(psi_half(samples - 1 - j) for j in range(dimensions))

    result = copula_information(x, y)
    expected = plug_in(scored, units) - bias(units) - bias(others) + bias(units + others)
    assert result.value == pytest.approx(expected)
    without = [plug_in(np.delete(scored, i, axis=0), units) for i in range(samples)]
    error = math.sqrt((samples - 1) * np.var(without))
    assert result.error == pytest.approx(error)
    assert (result.low, result.high) == pytest.approx((expected - 1.959964 * error, expected + 1.959964 * error))


# properties


def test_increasing_maps_of_units_change_nothing_and_decreasing_ones_only_rounding():
    x, y = equicorrelated(300, 3, 0.5, seed=1)
    result = copula_information(x, y)
    assert copula_information(x.exp(), torch.stack([y[:, 0] ** 3, y[:, 1] * 1e6 + 1, y[:, 2].sigmoid()], 1)) == result
    assert numbers(copula_information(-x, y)) == pytest.approx(numbers(result))
    assert numbers(copula_information(y, x)) == pytest.approx(numbers(result))


def test_the_order_of_samples_and_units_is_of_no_account():
    x, y = equicorrelated(200, 4, 0.5, seed=1)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    result = copula_information(x, y)
    assert numbers(copula_information(x[order].flip(1), y[order])) == pytest.approx(numbers(result))


def test_constant_and_repeated_units_drop_out():
    x, y = pairs(200, 3, 0.6, seed=1)
    padded = torch.cat([x, torch.full((200, 2), 7.3), x[:, :1], -3 * x[:, 1:2]], dim=1)
    result, repeated = copula_information(x, y), copula_information(padded, y)
    assert numbers(repeated) == pytest.approx(numbers(result))
    assert repeated.correlations == pytest.approx(result.correlations)
    constant = copula_information(torch.full((50, 3), 0.1), y[:50])
    assert (constant.value, constant.error, constant.low, constant.high) == (0.0, 0.0, 0.0, 0.0)
    assert constant.correlations == ()


def test_a_layer_that_determines_another_has_no_end_of_information():
    x, noise = normal(100, 2, 0), normal(100, 2, 1)
    result = copula_information(x, torch.cat([noise, x[:, :1].exp()], dim=1))
    assert result.value == result.high == math.inf
    assert math.isnan(result.error)
    assert math.isnan(result.low)
    assert result.correlations[0] == pytest.approx(1)


def test_ties_share_their_mean_rank():
    x, y = pairs(400, 2, 0.8, seed=1)
    x, y = x.relu(), y.relu()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    result = copula_information(x, y)
    # Broken arbitrarily, ties would follow the order of samples.
    assert numbers(copula_information(x[order], y[order])) == pytest.approx(numbers(result), abs=1e-9)
    bias = sum(psi_half(399 - j) / 2 * (1 if j < 2 else -1) for j in range(4))  # of 2, 2 and, subtracted, 4 units
    assert result.value == pytest.approx(plug_in(np.hstack([scores(x), scores(y)]), 2) - bias, abs=1e-9)


def test_a_sample_that_alone_spans_a_direction_leaves_no_error_to_state():
    x = normal(50, 2, 0)
    x[:, 1] = 0.0
    x[7, 1] = 1.0
    result = copula_information(x, normal(50, 2, 1))
    assert math.isfinite(result.value)
    assert (result.error, result.low, result.high) == (math.inf, -math.inf, math.inf)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_exactly(dtype):
    x, y = (part.to(dtype) for part in pairs(200, 2, 0.6, seed=1))
    assert copula_information(x, y) == copula_information(x.double(), y.double())


# entrance


def test_layers_of_too_many_units_are_refused():
    x = normal(40, 60, 0)
    copula_information(x[:, :20], x[:, 20:38])
    for one, other in combinations([x[:, :20], x[:, 20:39], x[:, 20:]], 2):
        with pytest.raises(
            ValueError, match=r"at most samples - 2 = 38 independent units, got .*; use cca_information"
        ):
            copula_information(one, other)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(5), torch.ones(5, 1), "x must have shape"),
        (torch.ones(5, 1), torch.tensor([[math.inf]] * 5), "y must be finite: 5 of 5"),
        (torch.ones(5, 1), torch.ones(4, 1), "the same samples, got 5 in x and 4 in y"),
        (torch.arange(2.0)[:, None], torch.arange(2.0)[:, None], "samples - 2 = 0 independent units, got 1 and 1"),
    ],
)
def test_bad_arguments_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        copula_information(x, y)
