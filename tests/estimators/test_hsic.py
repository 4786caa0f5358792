import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators import gaussian_kernel, kernel_smoother, linear_kernel, normalised_hsic


def samples_of(seed: int, samples: int = 15, features: int = 4) -> Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def one_hot(labels: list[int]) -> Tensor:
    return F.one_hot(torch.tensor(labels)).double()


def slow_kernel(samples: Tensor, width: float) -> np.ndarray:
    """The Gaussian kernel, pair by pair."""
    rows = samples.double().numpy()
    kernel = np.empty((len(rows), len(rows)))
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            kernel[i, j] = math.exp(-float(((first - second) ** 2).sum()) / (2 * width**2 * len(first)))
    return kernel


def slow_hsic(kernel: np.ndarray, other: np.ndarray) -> float:
    """As Wang et al. (2021) write it: K~ = K H, R = K~ (K~ + eps m I)^-1 with an explicit inverse, tr(R_A R_B)."""
    size = len(kernel)
    centring = np.eye(size) - np.ones((size, size)) / size

    def smoother(matrix: np.ndarray) -> np.ndarray:
        centred = matrix @ centring
        return centred @ np.linalg.inv(centred + 1e-5 * size * np.eye(size))

    return float(np.trace(smoother(kernel) @ smoother(other)))


# the definition


@pytest.mark.parametrize("seed", range(3))
def test_two_gaussian_kernels_agree_with_explicit_inverses(seed):
    first, second = samples_of(seed), samples_of(seed + 10, features=7) + samples_of(seed)[:, :1]
    expected = slow_hsic(slow_kernel(first, 5.0), slow_kernel(second, 5.0))
    assert normalised_hsic(gaussian_kernel(first), gaussian_kernel(second)).item() == pytest.approx(expected, abs=1e-6)


def test_labels_under_a_linear_kernel_agree_with_explicit_inverses():
    features, labels = samples_of(3), one_hot([0, 1, 2] * 5)
    expected = slow_hsic(slow_kernel(features, 2.0), (labels @ labels.T).numpy())
    found = normalised_hsic(gaussian_kernel(features, width=2.0), linear_kernel(labels)).item()
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_gaussian_kernel_has_the_value_of_the_closed_form():
    kernel = gaussian_kernel(torch.tensor([[0.0, 0.0], [3.0, 1.0]]), width=5.0)
    assert kernel[0, 1].item() == pytest.approx(math.exp(-10 / (2 * 25 * 2)))
    assert kernel.diagonal().tolist() == [1.0, 1.0]


# closed forms


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_balanced_labels_depend_on_themselves_by_one_less_than_their_classes(classes):
    # The centred kernel has classes - 1 eigenvalues m / classes, each of which R maps to 1 / (1 + 1e-5 classes).
    kernel = linear_kernel(one_hot(list(range(classes)) * 4))
    expected = (classes - 1) / (1 + 1e-5 * classes) ** 2
    assert normalised_hsic(kernel, kernel).item() == pytest.approx(expected, rel=1e-9)


def test_independent_labels_do_not_depend_on_each_other():
    first, second = one_hot([a for a in range(3) for _ in range(4)]), one_hot([b for _ in range(3) for b in range(4)])
    # At full scale, rounding of the kernels is enlarged by 1 / (1e-5 m), to above 1e-12 on some processors.
    kernels = linear_kernel(first / 4), linear_kernel(second / 4)
    assert normalised_hsic(*kernels).item() == pytest.approx(0, abs=1e-12)


def test_identical_data_have_the_squared_eigenvalues_of_r():
    kernel = gaussian_kernel(samples_of(4), width=0.5)
    centring = torch.eye(15, dtype=torch.double) - 1 / 15
    spectrum = torch.linalg.eigvalsh(centring @ kernel @ centring)
    expected = (spectrum / (spectrum + 15e-5)).square().sum().item()
    assert normalised_hsic(kernel, kernel).item() == pytest.approx(expected, rel=1e-9)


def test_constant_data_depend_on_nothing():
    constant = gaussian_kernel(torch.ones(15, 3))
    assert normalised_hsic(constant, gaussian_kernel(samples_of(5))).item() == pytest.approx(0, abs=1e-12)


# properties


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.floats(0.1, 10))
def test_the_value_is_symmetric_and_lies_between_zero_and_the_samples_less_one(seed, samples, width):
    first = gaussian_kernel(samples_of(seed, samples), width=width)
    second = linear_kernel(samples_of(seed + 1, samples, 2))
    value = normalised_hsic(first, second).item()
    assert -1e-9 <= value <= samples - 1 + 1e-9
    assert normalised_hsic(second, first).item() == pytest.approx(value, abs=1e-9)


def test_order_shift_rotation_and_a_constant_in_the_kernel_change_nothing():
    first, second = samples_of(6), samples_of(7) + samples_of(6)
    expected = normalised_hsic(gaussian_kernel(first), linear_kernel(second)).item()
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(samples_of(8, 4))
    variants = [
        (gaussian_kernel(first[order]), linear_kernel(second[order])),
        (gaussian_kernel(first + 3), linear_kernel(second - 7)),
        (gaussian_kernel(first @ rotation), linear_kernel(second @ rotation)),
        (gaussian_kernel(first) + 2, linear_kernel(second)),
    ]
    for kernel, other in variants:
        assert normalised_hsic(kernel, other).item() == pytest.approx(expected, rel=1e-7)


def test_dependent_features_have_more_than_independent_ones():
    first = samples_of(9, 200, 2)
    independent, dependent = samples_of(10, 200, 2), first + 0.1 * samples_of(10, 200, 2)
    kernel = gaussian_kernel(first)
    assert normalised_hsic(kernel, gaussian_kernel(dependent)) > 5 * normalised_hsic(
        kernel, gaussian_kernel(independent)
    )


def test_features_far_from_zero_keep_their_kernel():
    # Squared norms of 1e12 would leave errors of 1e-3 in the squared distances.
    far = gaussian_kernel(1e6 + samples_of(11), width=0.5)
    assert torch.allclose(far, gaussian_kernel(samples_of(11), width=0.5), atol=1e-8)


def test_gradients_agree_with_finite_differences():
    def value(samples: Tensor) -> Tensor:
        return normalised_hsic(gaussian_kernel(samples), linear_kernel(one_hot([0, 1] * 4)))

    # The ridge is small beside the kernel's eigenvalues, so second derivatives are large.
    assert torch.autograd.gradcheck(value, samples_of(12, 8, 3).requires_grad_(), eps=1e-7, atol=1e-5, rtol=1e-3)


def test_coinciding_samples_have_finite_gradients():
    samples = samples_of(13)[[0, 0, 0, 1, 2, 3, 4, 4]].requires_grad_()
    normalised_hsic(gaussian_kernel(samples), linear_kernel(one_hot([0, 1] * 4))).backward()
    assert samples.grad.isfinite().all()
    assert samples.grad.abs().max() > 0


# refusals


def test_what_is_no_kernel_gives_nan_and_no_number():
    assert kernel_smoother(-linear_kernel(samples_of(14))).isnan().all()
    assert kernel_smoother(torch.full((3, 3), math.nan, dtype=torch.double)).isnan().all()


def test_kernels_of_different_samples_are_refused():
    with pytest.raises(ValueError, match=r"kernels must be of the same samples, got \(15, 15\), \(14, 14\)"):
        normalised_hsic(linear_kernel(samples_of(0)), linear_kernel(samples_of(0, 14)))


def test_features_in_place_of_a_kernel_are_refused():
    with pytest.raises(ValueError, match=r"kernel must be a square matrix in float64, got \(15, 4\)"):
        kernel_smoother(samples_of(0))
    with pytest.raises(ValueError, match=r"got \(15, 15\) of torch.float32"):
        kernel_smoother(linear_kernel(samples_of(0)).float())


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="width must be positive and finite, got 0"):
        gaussian_kernel(samples_of(0), width=0)
