import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import xlogy
from scipy.stats import kstest, multivariate_normal, multivariate_t, norm, spearmanr, t, uniform
from tests.estimators.tasks.agreement import assert_agrees

from infoplane.estimators.tasks import (
    PairTask,
    correlated_normals,
    discrete_with_uniform_noise,
    equicorrelated_normals,
    mapped,
    student_pairs,
    uniform_noise,
)

SAMPLES = 40_000


def paired_covariance(correlations: tuple[float, ...]) -> np.ndarray:
    cross = np.diag(correlations)
    return np.block([[np.eye(len(correlations)), cross], [cross, np.eye(len(correlations))]])


def equal_covariance(features: int, correlation: float) -> np.ndarray:
    return (1 - correlation) * np.eye(2 * features) + correlation


def information_by_determinants(covariance: np.ndarray) -> float:
    p = len(covariance) // 2
    parts = (covariance[:p, :p], covariance[p:, p:], covariance)
    first, second, both = (np.linalg.slogdet(part)[1] for part in parts)
    return (first + second - both) / 2


def information_by_canonical_correlations(covariance: np.ndarray) -> float:
    p = len(covariance) // 2
    whiten_x, whiten_y = (np.linalg.inv(np.linalg.cholesky(part)) for part in (covariance[:p, :p], covariance[p:, p:]))
    canonical = np.linalg.svd(whiten_x @ covariance[:p, p:] @ whiten_y.T, compute_uv=False)
    return -0.5 * np.log(1 - canonical**2).sum()


def assert_covariance(task: PairTask, covariance: np.ndarray) -> None:
    values = torch.cat([task.x, task.y], dim=1).numpy()
    assert values.dtype == np.float64
    # An empirical correlation spreads by 1 / sqrt(N), a variance by sqrt(2 / N); five of these.
    np.testing.assert_allclose(np.cov(values.T), covariance, atol=5 * math.sqrt(2 / len(values)))
    assert np.abs(values.mean(axis=0)).max() < 5 / math.sqrt(len(values))


# normals


@pytest.mark.parametrize(
    ("correlations", "tabled"),
    [
        ((0.75,), 0.413339),
        ((0.9,), 0.830366),
        ((0.5,) * 5, 0.719205),
        ((0.9,) * 5, 4.151828),
        ((0.8, 0.8), 1.021651),
        ((0.8, 0.8, 0.0), 1.021651),
        ((0.8, -0.8) + (0.0,) * 23, 1.021651),
    ],
)
def test_correlated_normals_have_the_information_of_their_covariance(correlations, tabled, generator):
    task = correlated_normals(SAMPLES, correlations, generator=generator)
    covariance = paired_covariance(correlations)
    assert task.information == pytest.approx(tabled, abs=5e-7)
    assert task.information == pytest.approx(information_by_determinants(covariance), abs=1e-12)
    assert task.information == pytest.approx(information_by_canonical_correlations(covariance), abs=1e-12)
    assert_covariance(task, covariance)


@pytest.mark.parametrize(
    ("features", "tabled"), [(2, 0.293893), (3, 0.413339), (5, 0.592812), (25, 1.292184), (50, 1.624265)]
)
def test_equicorrelated_normals_have_the_information_of_their_covariance(features, tabled, generator):
    task = equicorrelated_normals(SAMPLES, features, correlation=0.5, generator=generator)
    covariance = equal_covariance(features, 0.5)
    assert task.information == pytest.approx(tabled, abs=5e-7)
    assert task.information == pytest.approx(information_by_determinants(covariance), abs=1e-10)
    assert task.information == pytest.approx(information_by_canonical_correlations(covariance), abs=1e-10)
    assert_covariance(task, covariance)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.9])
def test_equicorrelated_normals_follow_any_correlation(correlation, generator):
    task = equicorrelated_normals(SAMPLES, 3, correlation=correlation, generator=generator)
    assert task.information == pytest.approx(information_by_determinants(equal_covariance(3, correlation)), abs=1e-12)
    assert_covariance(task, equal_covariance(3, correlation))


def test_normals_have_the_information_stated_under_their_densities(generator):
    for task, covariance in (
        (correlated_normals(SAMPLES, (0.75, -0.3, 0.0), generator=generator), paired_covariance((0.75, -0.3, 0.0))),
        (equicorrelated_normals(SAMPLES, 4, correlation=0.6, generator=generator), equal_covariance(4, 0.6)),
    ):
        p = task.x.shape[1]
        both = multivariate_normal(cov=covariance).logpdf(np.hstack([task.x, task.y]))
        apart = sum(multivariate_normal(cov=covariance[:p, :p]).logpdf(part) for part in (task.x, task.y))
        assert_agrees(both - apart, task.information, error=0.006)


# Student-t

STUDENT_ROWS = [
    (1, 1, 0.224171),
    (2, 1, 0.431946),
    (2, 2, 0.193147),
    (3, 2, 0.290922),
    (3, 3, 0.178712),
    (5, 2, 0.448151),
    (5, 3, 0.298544),
]


@pytest.mark.parametrize(("features", "degrees", "tabled"), STUDENT_ROWS)
def test_student_pairs_have_the_information_of_scipys_entropies(features, degrees, tabled, generator):
    task = student_pairs(5, (0.0,) * features, degrees=degrees, generator=generator)
    assert task.information == pytest.approx(tabled, abs=5e-7)
    apart = multivariate_t(shape=np.eye(features), df=degrees).entropy()
    both = multivariate_t(shape=np.eye(2 * features), df=degrees).entropy()
    assert task.information == pytest.approx(2 * apart - both, abs=1e-9)


@pytest.mark.parametrize(("correlations", "degrees"), [((0.0,), 1), ((0.8, -0.5), 3), ((0.0,) * 5, 2)])
def test_student_pairs_have_the_information_stated_under_scipys_densities(correlations, degrees, generator):
    task = student_pairs(SAMPLES, correlations, degrees=degrees, generator=generator)
    apart = multivariate_t(shape=np.eye(len(correlations)), df=degrees)
    both = multivariate_t(shape=paired_covariance(correlations), df=degrees)
    assert task.information == pytest.approx(2 * apart.entropy() - both.entropy(), abs=1e-9)
    terms = both.logpdf(np.hstack([task.x, task.y])) - apart.logpdf(task.x) - apart.logpdf(task.y)
    assert_agrees(terms, task.information, error=0.01)
    for feature in (task.x[:, 0], task.y[:, -1]):
        assert kstest(feature.numpy(), t(degrees).cdf).pvalue > 1e-3


# uniform noise


@pytest.mark.parametrize(("reach", "tabled"), [(0.1, 1.709438), (0.75, 1 / 3), (0.5, 0.5), (0.3, None), (2.0, 0.125)])
def test_uniform_noise_has_the_information_of_the_integral_of_its_density(reach, tabled, generator):
    def density(y: float) -> float:
        return max(min(y + reach, 1) - max(y - reach, 0), 0) / (2 * reach)

    kinks = sorted({-reach, reach, 1 - reach, 1 + reach})
    entropy = sum(quad(lambda y: -xlogy(density(y), density(y)), left, right)[0] for left, right in pairwise(kinks))
    task = uniform_noise(SAMPLES, reach=reach, generator=generator)
    assert task.information == pytest.approx(entropy - math.log(2 * reach), abs=1e-7)
    if tabled is not None:
        assert task.information == pytest.approx(tabled, abs=5e-7)
    assert kstest(task.x[:, 0].numpy(), uniform.cdf).pvalue > 1e-3
    noise = (task.y - task.x)[:, 0].numpy()
    assert kstest(noise, uniform(-reach, 2 * reach).cdf).pvalue > 1e-3
    assert abs(spearmanr(task.x[:, 0], noise).statistic) < 4.5 / math.sqrt(SAMPLES)


@pytest.mark.parametrize(("values", "tabled"), [(5, 1.054920), (1, 0.0), (3, None)])
def test_a_discrete_variable_has_the_information_of_the_integral_of_its_channel(values, tabled, generator):
    def density(y: float) -> float:
        return sum(0.5 for x in range(values) if x <= y < x + 2) / values

    entropy = sum(quad(lambda y: -xlogy(density(y), density(y)), y, y + 1)[0] for y in range(values + 1))
    task = discrete_with_uniform_noise(SAMPLES, values=values, generator=generator)
    assert task.information == pytest.approx(entropy - math.log(2), abs=1e-9)
    if tabled is not None:
        assert task.information == pytest.approx(tabled, abs=5e-7)
    assert task.x.dtype == torch.double
    assert task.x.unique().tolist() == list(range(values))
    counts = task.x[:, 0].long().bincount()
    assert (counts - SAMPLES / values).abs().max() < 5 * math.sqrt(SAMPLES / values)
    assert kstest((task.y - task.x)[:, 0].numpy(), uniform(0, 2).cdf).pvalue > 1e-3


# maps and draws


def test_a_mapped_task_maps_each_side_and_keeps_its_information(generator):
    task = correlated_normals(10, (0.5, 0.2), generator=generator)
    changed = mapped(task, lambda x: 2 * x, lambda y: -y)
    assert torch.equal(changed.x, 2 * task.x)
    assert torch.equal(changed.y, -task.y)
    assert changed.information == task.information


def test_marginals_of_normals_are_normal(generator):
    for task in (
        correlated_normals(SAMPLES, (0.9, 0.0), generator=generator),
        equicorrelated_normals(SAMPLES, 2, correlation=0.5, generator=generator),
    ):
        for values in (*task.x.T, *task.y.T):
            assert kstest(values.numpy(), norm.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (correlated_normals, {"samples": 0, "correlations": (0.5,)}, "samples must be at least 1, got 0"),
        (correlated_normals, {"samples": 5, "correlations": ()}, "number of correlations must be at least 1, got 0"),
        (
            correlated_normals,
            {"samples": 5, "correlations": (0.5, 1.0, -1.5)},
            r"correlations must lie in \(-1, 1\), got \[1.0, -1.5\]",
        ),
        (equicorrelated_normals, {"samples": 0, "features": 2, "correlation": 0.5}, "samples must be at least 1"),
        (equicorrelated_normals, {"samples": 5, "features": 0, "correlation": 0.5}, "features must be at least 1"),
        (
            equicorrelated_normals,
            {"samples": 5, "features": 2, "correlation": 1.0},
            r"correlation must lie in \[0, 1\), got 1.0",
        ),
        (student_pairs, {"samples": 5, "correlations": (0.0,), "degrees": 0}, "degrees must be at least 1, got 0"),
        (uniform_noise, {"samples": 0, "reach": 0.5}, "samples must be at least 1, got 0"),
        (uniform_noise, {"samples": 5, "reach": 0.0}, "reach must be positive and finite, got 0.0"),
        (discrete_with_uniform_noise, {"samples": 0, "values": 5}, "samples must be at least 1, got 0"),
        (discrete_with_uniform_noise, {"samples": 5, "values": 0}, "values must be at least 1, got 0"),
    ],
)
def test_a_pair_that_cannot_be_drawn_is_an_error(draw, arguments, message, generator):
    with pytest.raises(ValueError, match=message):
        draw(**arguments, generator=generator)
