import math

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.stats import norm, rankdata
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from infoplane.estimators.cca import CCAInformation, cca_information
from infoplane.estimators.copula import gaussian_information


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(samples: int, features: int, seed: int) -> Tensor:
    return torch.randn(samples, features, generator=seeded(seed), dtype=torch.double)


def pairs(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Each unit of one layer correlated with the same unit of the other."""
    x = normal(samples, units, seed)
    return x, correlation * x + math.sqrt(1 - correlation**2) * normal(samples, units, 10_000 + seed)


def equicorrelated(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """All units of both layers correlated with each other."""
    common = normal(samples, 1, 10_000 + seed)
    points = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * normal(samples, 2 * units, seed)
    return points[:, :units], points[:, units:]


def sparse(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Two correlated pairs among unrelated units."""
    x, y = pairs(samples, units, correlation, seed)
    y[:, 2:] = normal(samples, units - 2, 20_000 + seed)
    return x, y


def latent(samples: int, units: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """A correlated pair, each spread over all units of a layer, at a tenth of the variance of their noise."""
    x, y = pairs(samples, 1, correlation, 20_000 + seed)
    return 0.1**0.5 * x + normal(samples, units, seed), 0.1**0.5 * y + normal(samples, units, 10_000 + seed)


def latent_information(units: int, correlation: float) -> float:
    """The mean of the units is all they tell of their latent: its correlation with it is reliability ** (1 / 2)."""
    reliability = units * 0.1 / (1 + units * 0.1)
    return -0.5 * math.log(1 - (correlation * reliability) ** 2)


def information_of(x: Tensor, y: Tensor, seed: int = 0, **settings: int) -> CCAInformation:
    return cca_information(x, y, generator=seeded(seed), **settings)


def draws_of(task, replicates: int, *settings) -> list[CCAInformation]:
    return [information_of(*task(*settings, seed), seed) for seed in range(replicates)]


# known truths


@pytest.mark.parametrize(
    ("task", "samples", "units", "correlation", "truth", "loss"),
    [
        # What the directions may miss: their loss over 20 other draws and two standard errors, but at least 0.04.
        (pairs, 200, 1, 0.75, 0.413339, 0.054),
        (pairs, 500, 5, 0.5, 0.719205, 0.04),
        (pairs, 300, 5, 0.9, 4.151828, 0.18),
        (equicorrelated, 200, 25, 0.5, 1.292184, 0.04),
        (sparse, 400, 10, 0.8, 1.021651, 0.04),
        (latent, 120, 60, 0.75, latent_information(60, 0.75), 0.04),
    ],
)
def test_gaussian_layers_have_at_most_their_information_and_most_of_it(task, samples, units, correlation, truth, loss):
    draws = draws_of(task, 20, samples, units, correlation)
    values = np.array([draw.value for draw in draws])
    spread = values.std(ddof=1)
    assert truth - loss - 3 * spread / 20**0.5 < values.mean() < truth + 3 * spread / 20**0.5
    # A spread over 20 draws is known to 16 %; the jackknife of folds with many directions errs on the large side.
    assert 0.6 < np.mean([draw.error for draw in draws]) / spread < 2.5
    assert sum(draw.low <= truth for draw in draws) >= 17  # of 19.5 expected
    assert sum(draw.low <= values.mean() <= draw.high for draw in draws) >= 17


@pytest.mark.parametrize(("samples", "units", "others"), [(300, 3, 3), (60, 60, 40), (50, 150, 100)])
def test_unrelated_layers_of_any_size_have_none(samples, units, others):
    draws = [
        information_of(
            normal(samples, units, seed) + 2 * normal(samples, 1, 500 + seed),
            normal(samples, others, 10_000 + seed),
            seed,
        )
        for seed in range(20)
    ]
    values = np.array([draw.value for draw in draws])
    assert values.mean() == pytest.approx(0, abs=3 * values.std(ddof=1) / 20**0.5)
    assert values.min() < 0
    assert sum(draw.low <= 0 <= draw.high for draw in draws) >= 17


def test_permuted_pairs_of_strongly_dependent_layers_have_none():
    x, y = equicorrelated(100, 30, 0.5, seed=1)
    draws = [information_of(x, y[torch.randperm(100, generator=seeded(seed))], seed) for seed in range(20)]
    values = np.array([draw.value for draw in draws])
    assert values.mean() == pytest.approx(0, abs=3 * values.std(ddof=1) / 20**0.5)
    assert sum(draw.low <= 0 <= draw.high for draw in draws) >= 17


def test_shrinking_beyond_the_analytic_intensity_finds_what_many_units_share():
    values = [information_of(*latent(130, 60, 0.75, seed), seed).value for seed in range(8)]
    # Over 20 other draws 0.84 of it, and 0.71 by the analytic intensity alone; of these eight the latter has 0.60.
    assert np.mean(values) > 0.8 * latent_information(60, 0.75)


def test_directions_of_little_variance_are_found_under_large_unrelated_ones():
    x, y = pairs(300, 2, 0.8, seed=3)
    nuisance, loud = normal(300, 20, 1), normal(300, 20, 2)
    layers = [
        torch.cat([10 * part, 10 * part + signal], 1)
        for part, signal in ((nuisance[:, :2], 5 * x), (loud[:, :2], 5 * y))
    ]
    result = information_of(*layers)
    assert result.value == pytest.approx(1.021651, abs=3 * result.error)


# independent implementation


def scores(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Normal quantiles of the places that values, one by one, would take among the reference."""

    def quantiles(points: np.ndarray) -> np.ndarray:
        smaller = (reference < points[:, None]).sum(axis=1)
        equal = (reference == points[:, None]).sum(axis=1)
        return norm.ppf((smaller + equal / 2 + 0.5) / (len(reference) + 1))

    own = norm.ppf(rankdata(reference, axis=0) / (len(reference) + 1))
    assert quantiles(reference) == pytest.approx(own)
    return quantiles(values) - own.mean(axis=0)


def directions(x: np.ndarray, y: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Canonical directions of scores from the generalised eigenproblem of whole covariance matrices."""
    intensities, shrunk = [], []
    for layer in (x, y):
        intensity = ledoit_wolf(layer)[1]
        intensity += part * (1 - intensity)
        covariance = layer.T @ layer / len(layer)
        target = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        shrunk.append((1 - intensity) * covariance + intensity * target)
        intensities.append(intensity)
    cross = x.T @ y / len(x)
    left = scipy.linalg.eigh(cross @ np.linalg.solve(shrunk[1], cross.T), shrunk[0])[1][:, ::-1]
    return left, np.linalg.solve(shrunk[1], cross.T @ left), (intensities[0], intensities[1])


@pytest.mark.parametrize(("samples", "units", "others", "folds"), [(62, 4, 6, 3), (50, 60, 5, 4), (45, 70, 80, 3)])
def test_every_step_agrees_with_dense_matrices_and_plain_loops(samples, units, others, folds):
    x, y = (layer.numpy() for layer in equicorrelated(samples, max(units, others), 0.4, seed=1))
    x, y = x[:, :units].round(1), y[:, :others]  # with ties
    result = information_of(torch.from_numpy(x), torch.from_numpy(y), 5, folds=folds)
    parts = np.array_split(torch.randperm(samples, generator=seeded(5)).numpy(), folds)
    most = min(10, units, others, samples // folds // 6)

    def held_out(fitted: np.ndarray, rows: np.ndarray, part: float, number: int):
        own = [scores(layer[fitted], layer[fitted]) for layer in (x, y)]
        left, right, shrinkage = directions(*own, part)
        along = scores(x[rows], x[fitted]) @ left[:, :number], scores(y[rows], y[fitted]) @ right[:, :number]
        paired = [np.corrcoef(a, b)[0, 1] for a, b in zip(along[0].T, along[1].T, strict=True)]
        return gaussian_information(*(points - points.mean(axis=0) for points in along)), shrinkage, paired

    information, variance, correlations, shrinkages, numbers = 0.0, 0.0, np.zeros(most), [], []
    for fold, rows in enumerate(parts):
        fitted = np.concatenate(parts[:fold] + parts[fold + 1 :])
        third = len(fitted) // 3
        choices = [(part, most // 2**k) for part in (0.0, 0.5, 0.9, 1.0) for k in range(5) if most // 2**k]
        trials = [held_out(fitted[third:], fitted[:third], *choice)[0].value for choice in choices]
        part, number = choices[int(np.argmax(trials))]
        estimate, shrinkage, paired = held_out(fitted, rows, part, number)
        weight = len(rows) / samples
        information += weight * estimate.value
        variance += (weight * estimate.error) ** 2
        correlations[:number] += weight * np.array(paired)
        shrinkages.append(shrinkage)
        numbers.append(number)
    assert result.value == pytest.approx(information, abs=1e-6)
    assert result.error == pytest.approx(math.sqrt(variance), rel=1e-6)
    half = 1.959964 * math.sqrt(variance)
    assert (result.low, result.high) == pytest.approx((information - half, information + half), abs=1e-5)
    assert result.correlations == pytest.approx(correlations.tolist(), abs=1e-6)
    assert np.array(result.shrinkage) == pytest.approx(np.array(shrinkages))
    assert result.components == tuple(numbers)


# properties


def test_increasing_maps_of_units_change_nothing_and_layers_may_change_places():
    x, y = equicorrelated(100, 4, 0.5, seed=1)
    result = information_of(x, y)
    assert information_of(x.exp(), torch.cat([y[:, :1] ** 3, 1e6 * y[:, 1:] + 1], dim=1)) == result
    swapped = information_of(y, x)
    assert swapped.value == pytest.approx(result.value)
    assert swapped.shrinkage == tuple((second, first) for first, second in result.shrinkage)


def test_units_that_never_change_are_of_no_account():
    x, y = equicorrelated(100, 4, 0.5, seed=1)
    padded = information_of(torch.cat([x, torch.full((100, 200), 7.3)], dim=1), y)
    result = information_of(x, y)
    assert padded.value == pytest.approx(result.value)
    assert np.array(padded.shrinkage) == pytest.approx(np.array(result.shrinkage))
    constant = information_of(torch.full((60, 3), 0.1), y[:60])
    assert (constant.value, constant.error, constant.correlations) == (0.0, 0.0, (0.0, 0.0))


def test_a_layer_that_repeats_another_has_no_end_of_information():
    x = normal(100, 2, 0)
    result = information_of(x, x.exp())
    assert result.value == result.high == math.inf
    assert math.isnan(result.error)
    assert math.isnan(result.low)


def test_folds_come_from_the_generator_alone_and_data_stay_as_they_were():
    x, y = pairs(100, 3, 0.6, seed=1)
    before = torch.random.get_rng_state(), x.clone()
    x.requires_grad_()
    assert information_of(x, y, 1) == information_of(x, y, 1)
    assert information_of(x, y, 1) != information_of(x, y, 2)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.equal(x, before[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_exactly(dtype):
    x, y = (part.to(dtype) for part in pairs(100, 2, 0.6, seed=1))
    assert information_of(x, y) == information_of(x.double(), y.double())


def test_directions_are_no_more_than_asked_for_units_or_sixths_of_a_fold():
    x, y = pairs(100, 20, 0.99, seed=1)
    assert len(information_of(x, y, components=2).correlations) == 2
    assert len(information_of(x, y[:, :1]).correlations) == 1
    assert len(information_of(x, y).correlations) == 20 // 6
    assert len(information_of(*pairs(400, 20, 0.99, seed=1)).correlations) == 10


# entrance


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (torch.ones(5), torch.ones(5, 1), {}, "x must have shape"),
        (torch.ones(5, 1), torch.tensor([[math.inf]] * 5), {}, "y must be finite: 5 of 5"),
        (torch.ones(5, 1), torch.ones(4, 1), {}, "the same samples, got 5 in x and 4 in y"),
        (torch.ones(50, 1), torch.ones(50, 1), {"components": 0}, "components must be at least 1, got 0"),
        (torch.ones(50, 1), torch.ones(50, 1), {"folds": 2}, "folds must be at least 3, got 2"),
        (torch.ones(49, 1), torch.ones(49, 1), {}, "folds must be at most samples / 10 = 4.9, got 5"),
    ],
)
def test_bad_arguments_are_named(x, y, settings, message):
    with pytest.raises(ValueError, match=message):
        information_of(x, y, **settings)
