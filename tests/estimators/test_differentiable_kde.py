import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators import differentiable_input_bound, kde_information


def points_of(seed: int, samples: int = 12, features: int = 3) -> Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def gradients_of(points: Tensor, variance: float) -> tuple[Tensor, Tensor]:
    points, noise = points.clone().requires_grad_(), torch.tensor(variance, dtype=torch.double, requires_grad=True)
    of_points, of_noise = torch.autograd.grad(differentiable_input_bound(points, noise), [points, noise])
    return of_points, of_noise


def test_two_samples_at_two_noise_deviations_have_the_value_of_the_closed_form():
    bound = differentiable_input_bound(torch.tensor([[0.0], [2.0]]), 1.0)
    assert bound.item() == pytest.approx(math.log(2) - math.log(1 + math.exp(-2)), abs=1e-12)


def test_two_samples_have_the_gradients_of_the_closed_form():
    # I = ln 2 - ln(1 + e^-u) with u = d^2 / (2 v): dI/du = 1 / (e^u + 1), du/dd = d / v, du/dv = -u / v
    distance, variance = 1.5, 0.7
    exponent = distance**2 / (2 * variance)
    slope = 1 / (math.exp(exponent) + 1)
    of_points, of_noise = gradients_of(torch.tensor([[0.0], [distance]], dtype=torch.double), variance)
    assert of_points[:, 0].tolist() == pytest.approx([-slope * distance / variance, slope * distance / variance])
    assert of_noise.item() == pytest.approx(-slope * exponent / variance)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.01, 1.0, 30.0]),
    st.floats(1e-3, 1e3),
    st.booleans(),
)
def test_the_bound_is_the_one_of_kde_information(seed, samples, features, scale, variance, tied):
    points = scale * points_of(seed, samples, features)
    if tied:
        points = points[torch.randint(samples, (samples,), generator=torch.Generator().manual_seed(seed))]
    labels = torch.zeros(samples, dtype=torch.long)
    expected = kde_information(points, labels, noise_variance=variance).input_upper.value
    assert differentiable_input_bound(points, variance).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_loses_nothing_beyond_that_of_the_activations(dtype):
    points = points_of(0).to(dtype)
    labels = torch.zeros(len(points), dtype=torch.long)
    expected = kde_information(points.double(), labels, noise_variance=0.3).input_upper.value
    assert differentiable_input_bound(points, torch.tensor(0.3)).item() == pytest.approx(expected, abs=1e-6)


def test_tight_clusters_far_from_zero_keep_their_distances():
    # Squared norms are 1e12, squared distances about 1: matrix products in float64 would lose four digits.
    points = 1e6 + points_of(1)
    near = differentiable_input_bound(points - 1e6, 0.5).item()
    assert differentiable_input_bound(points, 0.5).item() == pytest.approx(near, abs=1e-8)


def test_gradients_agree_with_finite_differences():
    points, noise = points_of(2).requires_grad_(), torch.tensor(0.8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(differentiable_input_bound, (points, noise), eps=1e-6, atol=1e-7)


def test_gradients_reach_activations_and_variance_in_float32():
    points, noise = points_of(2).float().requires_grad_(), torch.tensor([0.8], requires_grad=True)
    differentiable_input_bound(points, noise).backward()
    assert (points.grad.dtype, noise.grad.dtype) == (torch.float32, torch.float32)
    of_points, of_noise = gradients_of(points_of(2), 0.8)
    assert torch.allclose(points.grad.double(), of_points, atol=1e-6)
    assert noise.grad.item() == pytest.approx(of_noise.item(), abs=1e-6)


def test_coinciding_samples_have_no_information_and_no_gradient():
    points = torch.ones(5, 4, dtype=torch.double)
    of_points, of_noise = gradients_of(points, 0.1)
    assert differentiable_input_bound(points, 0.1).item() == 0
    assert torch.equal(of_points, torch.zeros_like(points))
    assert of_noise.item() == 0


def test_a_pair_that_coincides_leaves_the_other_gradients_finite():
    points = points_of(3)
    points[1] = points[0]
    of_points, of_noise = gradients_of(points, 0.5)
    assert of_points.isfinite().all()
    assert of_points[2:].abs().max() > 0
    assert torch.allclose(of_points[0], of_points[1])
    assert of_noise < 0


def test_samples_too_far_apart_have_log_n_nats_and_no_gradient():
    points = 1e5 * torch.eye(6, dtype=torch.double)
    of_points, of_noise = gradients_of(points, 1e-3)
    assert differentiable_input_bound(points, 1e-3).item() == pytest.approx(math.log(6))
    assert torch.equal(of_points, torch.zeros_like(points))
    assert of_noise.item() == 0


def test_more_noise_means_less_information():
    bounds = [differentiable_input_bound(points_of(4), variance).item() for variance in (0.01, 0.1, 1.0, 10.0)]
    assert bounds == sorted(bounds, reverse=True)


def test_activations_that_are_not_finite_give_nan():
    points = points_of(5)
    points[3, 1] = math.nan
    assert differentiable_input_bound(points, 1.0).isnan()


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan])
def test_a_variance_that_is_not_positive_is_refused_as_a_number_and_gives_nan_as_a_tensor(variance):
    with pytest.raises(ValueError, match=f"noise_variance must be positive and finite, got {variance}"):
        differentiable_input_bound(points_of(6), variance)
    assert differentiable_input_bound(points_of(6), torch.tensor(variance)).isnan()


def test_a_variance_per_sample_is_refused():
    with pytest.raises(ValueError, match=r"noise_variance must have one element, got shape \(12, 3\)"):
        differentiable_input_bound(points_of(6), torch.ones(12, 3))


def test_activations_must_have_samples_and_features():
    with pytest.raises(ValueError, match=r"activations must have shape \(samples, features\).*got \(12, 3, 1\)"):
        differentiable_input_bound(points_of(6)[..., None], 1.0)
