import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import logsumexp, xlogy
from scipy.stats import kstest, multivariate_normal, norm
from tests.estimators.tasks.agreement import assert_agrees

from infoplane.estimators.tasks import (
    ChannelTask,
    gaussian_channel,
    labelled_gaussian_information,
    noisy_labelled_gaussians,
    point_clusters,
)


def observed(task: ChannelTask, seed: int = 7) -> np.ndarray:
    """The activations through the noise that the task states."""
    noise = torch.randn(task.activations.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return (task.activations.double() + math.sqrt(task.noise_variance) * noise).numpy()


# points


@pytest.mark.parametrize(
    ("distance", "tabled"), [(1, 0.111421), (2, 0.336831), (3, 0.526777), (4, 0.632720), (6, 0.689298)]
)
def test_two_points_are_a_binary_channel_with_gaussian_noise(distance, tabled, generator):
    def entropy_density(t: float) -> float:
        density = (norm.pdf(t) + norm.pdf(t - distance)) / 2
        return -xlogy(density, density)

    entropy, _ = quad(entropy_density, -12, 12 + distance, epsabs=1e-11, limit=200)
    expected = entropy - 0.5 * math.log(2 * math.pi * math.e)
    task = point_clusters(5, 3, distance=distance, generator=generator)
    assert task.information == task.label_information == pytest.approx(expected, abs=1e-8)
    assert task.information == pytest.approx(tabled, abs=5e-7)


def test_points_lie_at_the_distance_stated_and_each_as_often(generator):
    task = point_clusters(30_000, 7, distance=3.0, classes=4, generator=generator)
    points = task.activations.unique(dim=0)
    assert points.shape == (4, 7)
    distances = torch.cdist(points, points)[~torch.eye(4, dtype=torch.bool)]
    torch.testing.assert_close(distances, torch.full((12,), 3.0))
    assert task.noise_variance == 1.0
    # The label is the point.
    assert (task.activations[:, :4].argmax(dim=1) == task.labels).all()
    # A count of mean 7,500 spreads by 75; five of these.
    assert (task.labels.bincount() - 7500).abs().max() < 5 * 75


@pytest.mark.parametrize(("distance", "classes"), [(2.0, 4), (5.0, 3)])
def test_points_have_the_information_stated_under_the_density_of_the_noise(distance, classes, generator):
    task = point_clusters(30_000, 4, distance=distance, classes=classes, generator=generator)
    points = task.activations.unique(dim=0).numpy()
    log_densities = norm.logpdf(observed(task)[:, None, :], points).sum(axis=-1)
    own = norm.logpdf(observed(task), task.activations).sum(axis=-1)
    assert_agrees(own - logsumexp(log_densities, axis=1) + math.log(classes), task.information, error=0.006)


def test_far_points_carry_the_log_of_their_number(generator):
    task = point_clusters(5, 12, distance=16.0, classes=10, generator=generator)
    assert task.information == pytest.approx(math.log(10), abs=1e-9)


# Gaussian layers


@pytest.mark.parametrize(
    ("features", "power", "tabled"), [(2, 9.0, 2.302585), (50, 0.1, 2.382754), (2000, 0.0025, 2.4969), (5, 9.0, 5.757)]
)
def test_a_gaussian_layer_has_the_tabled_information(features, power, tabled, generator):
    task = gaussian_channel(5, features, power=power, generator=generator)
    digits = len(str(tabled).split(".")[1])
    assert task.information == pytest.approx(tabled, abs=1.1 * 10**-digits)  # 5.756 and half, printed upwards


@pytest.mark.parametrize(("features", "power"), [(2, 9.0), (6, 0.3)])
def test_a_gaussian_layer_has_the_information_of_determinants_and_of_its_densities(features, power, generator):
    task = gaussian_channel(20_000, features, power=power, generator=generator)
    layer, noise = power * np.eye(features), np.eye(features)
    both = np.block([[layer, layer], [layer, layer + noise]])
    determinants = [np.linalg.slogdet(matrix)[1] for matrix in (layer, layer + noise, both)]
    assert task.information == pytest.approx((determinants[0] + determinants[1] - determinants[2]) / 2, abs=1e-12)
    seen = observed(task)
    given = norm.logpdf(seen - task.activations.numpy()).sum(axis=1)
    assert_agrees(given - multivariate_normal(cov=layer + noise).logpdf(seen), task.information, error=0.02)
    assert kstest(task.activations.flatten().numpy(), norm(scale=math.sqrt(power)).cdf).pvalue > 1e-3


def test_labels_of_a_gaussian_layer_know_nothing_of_it(generator):
    task = gaussian_channel(20_000, 3, power=2.0, generator=generator)
    assert task.label_information == 0
    assert sorted(task.labels.unique().tolist()) == list(range(10))
    means = torch.stack([task.activations[task.labels == label].mean(dim=0) for label in range(10)])
    # Thirty means of about 2,000 values of variance 2 each; four and a half standard errors.
    assert means.abs().max() < 4.5 * math.sqrt(2 / 1800)


# labelled Gaussians


@pytest.mark.parametrize("noise_variance", [0.5, 2.0])
def test_labelled_gaussians_have_both_informations_under_their_densities(noise_variance, generator):
    task = noisy_labelled_gaussians(20_000, 11, spread=3.0, noise_variance=noise_variance, generator=generator)
    assert task.noise_variance == noise_variance
    seen, labels = observed(task), task.labels.numpy()
    wide, narrow = math.sqrt(1 + noise_variance), math.sqrt(noise_variance)
    log_densities = norm.logpdf(seen[:, None, :], 3 * np.eye(11)[:10], wide).sum(axis=-1)
    log_density = logsumexp(log_densities, axis=1) - math.log(10)
    assert_agrees(log_densities[np.arange(len(seen)), labels] - log_density, task.label_information, error=0.01)
    given = norm.logpdf(seen, task.activations.numpy(), narrow).sum(axis=1)
    assert_agrees(given - log_density, task.information, error=0.03)


def test_labelled_gaussians_seen_through_little_noise_keep_their_information(generator):
    task = noisy_labelled_gaussians(5, 10, spread=2.0, noise_variance=1e-9, generator=generator)
    assert task.label_information == pytest.approx(labelled_gaussian_information(2.0), abs=1e-7)


# entrance


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (point_clusters, {"samples": 0, "features": 2, "distance": 1.0}, "samples must be at least 1, got 0"),
        (point_clusters, {"samples": 5, "features": 1, "distance": 1.0}, "features must be at least 2, got 1"),
        (point_clusters, {"samples": 5, "features": 2, "distance": 0.0}, "distance must be positive and finite"),
        (point_clusters, {"samples": 5, "features": 2, "distance": 1.0, "classes": 1}, "classes must be at least 2"),
        (gaussian_channel, {"samples": 0, "features": 2, "power": 1.0}, "samples must be at least 1, got 0"),
        (gaussian_channel, {"samples": 5, "features": 0, "power": 1.0}, "features must be at least 1, got 0"),
        (gaussian_channel, {"samples": 5, "features": 2, "power": -1.0}, "power must be positive and finite"),
        (
            noisy_labelled_gaussians,
            {"samples": 5, "features": 10, "spread": 1.0, "noise_variance": 0.0},
            "noise_variance must be positive and finite, got 0.0",
        ),
    ],
)
def test_a_channel_that_cannot_be_drawn_is_an_error(draw, arguments, message, generator):
    with pytest.raises(ValueError, match=message):
        draw(**arguments, generator=generator)
