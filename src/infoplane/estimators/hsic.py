"""Normalised HSIC: how much two sets of features of the same samples depend on each other, from kernels."""

import torch
from torch import Tensor

from infoplane.checks import check_positive, check_sample_rows

RIDGE = 1e-5  # epsilon of Wang et al. (2021)


def gaussian_kernel(samples: Tensor, *, width: float = 5.0) -> Tensor:
    """Return exp(-d_ij / (2 width^2 features)), `(samples, samples)` in float64, with d_ij the squared distances.

    Args:
        samples: `(samples, features)`, of a float type.
        width: positive, in units of the samples; distances are divided by it and by the root of the features.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Wang et al. (2021), arXiv:2106.02734; width 5 is theirs.
    """
    check_sample_rows(samples, name="samples")
    check_positive(width, name="width")
    points = samples.double()
    points = points - points.mean(dim=0)  # the products subtract large squares: uncentred ones are larger
    products = points @ points.T
    squares = products.diagonal()
    squared_distances = (squares[:, None] + squares - 2 * products).clamp(min=0)
    return torch.exp(-squared_distances / (2 * width**2 * points.shape[1]))


def linear_kernel(samples: Tensor) -> Tensor:
    """Return the scalar products of the samples, `(samples, samples)` in float64.

    Args:
        samples: `(samples, features)`, of a float type, e.g. labels as one-hot vectors.

    Raises:
        ValueError: `samples` is outside the description above.
    """
    check_sample_rows(samples, name="samples")
    points = samples.double()
    return points @ points.T


def kernel_smoother(kernel: Tensor) -> Tensor:
    """Return R = K~ (K~ + 1e-5 m I)^-1, `(m, m)`, of a kernel K of m samples, with K~ the centred kernel H K H.

    Wang et al. (2021) centre on one side, K~ = K H. The traces tr(R_A R_B) are the same, and this R is symmetric, so a
    Cholesky factor gives it. It costs O(m^3) time and O(m^2) memory.

    Args:
        kernel: `(m, m)`, symmetric and positive semidefinite, float64; another one, or one with NaN, gives NaN.

    Raises:
        ValueError: `kernel` is not a square matrix in float64.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.dtype != torch.double:
        raise ValueError(f"kernel must be a square matrix in float64, got {tuple(kernel.shape)} of {kernel.dtype}")
    centred = kernel - kernel.mean(dim=0)
    centred = centred - centred.mean(dim=1, keepdim=True)
    identity = torch.eye(len(kernel), dtype=torch.double, device=kernel.device)
    ridge = RIDGE * len(kernel)
    factor, failed = torch.linalg.cholesky_ex(centred + ridge * identity)
    smoother = identity - ridge * torch.cholesky_inverse(factor)
    return torch.where(failed == 0, smoother, torch.nan)  # a check would make a GPU wait


def normalised_hsic(kernel: Tensor, other: Tensor) -> Tensor:
    """Return nHSIC = tr(R_A R_B) of two kernels of the same samples, R = K~ (K~ + 1e-5 m I)^-1: their dependence.

    It is 0 if the centred kernels are orthogonal, and at most m - 1. It is no information: it has no unit, and its
    value depends on the kernels and on the number of samples m. Gradients reach both kernels. Where many values with
    the same kernel are needed, compute `kernel_smoother` once: nHSIC is the sum of R_A * R_B.

    Args:
        kernel: `(m, m)`, symmetric and positive semidefinite, float64: `gaussian_kernel` or `linear_kernel`.
        other: likewise, of the same m samples.

    Returns:
        A scalar in float64.

    Raises:
        ValueError: the kernels are not square matrices in float64 of one size.

    Source: Wang et al. (2021), arXiv:2106.02734; Fukumizu et al. (2007), NeurIPS 20.
    """
    if kernel.shape != other.shape:
        raise ValueError(f"both kernels must be of the same samples, got {tuple(kernel.shape)}, {tuple(other.shape)}")
    return (kernel_smoother(kernel) * kernel_smoother(other)).sum()
