"""The Gaussian ceiling bounds I(X;T) from above, and the default noise keeps it 4 nats below log N in any layer."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoplane.estimators import (
    FeaturePieces,
    covariance_spectrum,
    kde_information,
    mean_unit_variance,
    noisy_information,
    resolved_noise_share,
)
from infoplane.records.standing import RESOLVED_NATS


def normal(samples: int, features: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def exact_ceiling(points: torch.Tensor, noise_variance: float) -> float:
    """By the eigenvalues of the whole covariance."""
    centred = points.double() - points.double().mean(dim=0)
    eigenvalues = torch.linalg.svdvals(centred).square() / len(points)
    return 0.5 * torch.log1p(eigenvalues / noise_variance).sum().item()


@pytest.mark.parametrize(("samples", "features"), [(500, 7), (60, 400), (500, 256)])
def test_the_ceiling_is_half_the_log_determinant(samples, features):
    points = normal(samples, features) * torch.linspace(0.1, 2, features, dtype=torch.double) + 5
    found = covariance_spectrum(points).gaussian_ceiling(0.3)
    assert found == pytest.approx(exact_ceiling(points, 0.3), rel=1e-5)


def test_beyond_its_directions_the_ceiling_is_above_the_exact_one_and_near_it_where_the_spectrum_falls():
    falling = 1 / torch.arange(1, 601, dtype=torch.double)
    points = normal(700, 600) * falling
    spectrum = covariance_spectrum(points)
    exact = exact_ceiling(points, 0.001)
    assert exact <= spectrum.gaussian_ceiling(0.001) <= 1.05 * exact
    even = normal(700, 600)
    exact = exact_ceiling(even, 0.1)
    assert exact <= covariance_spectrum(even).gaussian_ceiling(0.1) <= 1.25 * exact  # a tenth of them is resolved


@given(st.integers(2, 40), st.integers(1, 200), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_the_ceiling_is_above_the_lower_bound_of_kde(samples, features, noise_variance, seed):
    points = normal(samples, features, seed)
    labels = torch.arange(samples) % 2
    lower = kde_information(points, labels, noise_variance=noise_variance).input_lower.value
    assert lower <= covariance_spectrum(points).gaussian_ceiling(noise_variance) + 1e-4


@pytest.mark.parametrize("features", [3, 256, 300])
def test_the_participation_ratio_counts_even_directions(features):
    # orthogonal columns of equal length: all eigenvalues are equal
    columns = torch.linalg.qr(normal(400, features) - normal(400, features).mean(dim=0)).Q
    columns = torch.linalg.qr(columns - columns.mean(dim=0)).Q
    assert covariance_spectrum(columns).participation_ratio == pytest.approx(features, rel=1e-3)
    one = torch.outer(torch.linspace(-1, 1, 400, dtype=torch.double), torch.ones(features, dtype=torch.double))
    assert covariance_spectrum(one).participation_ratio == pytest.approx(1, rel=1e-5)


def test_a_layer_without_variance_has_no_direction():
    spectrum = covariance_spectrum(torch.full((50, 300), 0.25))
    assert spectrum.participation_ratio == 0
    assert spectrum.gaussian_ceiling(0.1) == pytest.approx(0, abs=1e-9)


def test_activations_in_pieces_have_the_spectrum_of_the_whole():
    points = normal(200, 300).float()
    pieces = FeaturePieces(lambda columns: points[:, columns], samples=200, features=300, dtype=points.dtype)
    whole = covariance_spectrum(points)
    assert torch.equal(covariance_spectrum(pieces).variances, whole.variances)


@pytest.mark.parametrize("noise_variance", [0.0, -1.0, math.nan])
def test_the_noise_variance_is_checked(noise_variance):
    with pytest.raises(ValueError, match="noise_variance must be positive"):
        covariance_spectrum(normal(10, 3)).gaussian_ceiling(noise_variance)


@given(st.integers(1, 10**6))
def test_the_resolved_share_bounds_every_layer_below_log_n(samples):
    bound = 1 / (2 * resolved_noise_share(samples))
    assert bound == pytest.approx(max(math.log(samples) - RESOLVED_NATS, 0.5))


@pytest.mark.parametrize("features", [2, 30, 1000])
def test_at_the_default_share_the_ceiling_of_any_layer_is_resolved(features):
    points = normal(400, features)
    noise_variance = resolved_noise_share(400) * features * mean_unit_variance(points)
    assert covariance_spectrum(points).gaussian_ceiling(noise_variance) <= math.log(400) - RESOLVED_NATS


def test_the_number_of_samples_is_checked():
    with pytest.raises(ValueError, match="samples must be at least 1"):
        resolved_noise_share(0)


# intervals of the Monte Carlo estimate


def channel(samples: int, features: int, information: float, seed: int) -> torch.Tensor:
    """Gaussian layer of known I(X;T) at noise variance 1: features / 2 ln(1 + q)."""
    return normal(samples, features, seed) * math.sqrt(math.expm1(2 * information / features))


@pytest.mark.parametrize(("features", "below"), [(5, 3.0), (400, 3.0), (400, 2.5)])
def test_intervals_of_few_samples_cover_the_truth_where_the_error_alone_does_not(features, below):
    truth, covered, plain = math.log(300) - below, 0, 0
    for seed in range(25):
        points = channel(300, features, truth, seed)
        found = noisy_information(
            points, torch.arange(300) % 2, noise_variance=1.0, generator=torch.Generator().manual_seed(seed)
        ).input
        covered += found.low <= truth <= found.high
        plain += abs(found.value - truth) <= 1.96 * found.error
    assert covered >= 22  # of 25 at .95: fewer in one case of thirty
    assert plain < 25
    assert found.high - found.value > 1.96 * found.error


def test_squares_that_overflow_are_refused():
    with pytest.raises(ValueError, match="squares, got so large ones that these overflow"):
        covariance_spectrum(normal(50, 5) * 1e300)
