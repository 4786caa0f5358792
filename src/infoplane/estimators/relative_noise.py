"""Noise variance relative to the variance of a layer, and the least share that a number of samples resolves."""

import math

from torch import Tensor

from infoplane.checks import check_at_least, check_positive
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.geometry import mean_unit_variance
from infoplane.records.standing import RESOLVED_NATS

LEAST_NATS = 0.5  # that the noise leaves a layer, however few samples there are


def resolved_noise_share(samples: int) -> float:
    """Return the noise variance, as a share of a layer's total variance, at which I(X;T) of any layer is resolved.

    A Gaussian has the largest entropy for its covariance. With the eigenvalues l_i of the covariance and the noise
    variance s2 = share * sum_i l_i,

        I(X;T) <= 1/2 sum_i ln(1 + l_i / s2) <= 1/2 sum_i l_i / s2 = 1 / (2 share)

    for a layer of any width and any distribution. The returned share makes the right side log N - 4, so that every
    layer lies at least 4 nats below the ceiling of N samples: from there down their bias is small against their error
    (`benchmarks/resolution.py`). The share depends on N alone, so that layers, epochs and trainings are compared at the
    same share. With fewer than 91 samples, the right side is 1/2 nat.

    Args:
        samples: N, at least 1.

    Raises:
        ValueError: `samples` is less than 1.

    Source: the maximum entropy of the Gaussian, Cover & Thomas (2006), Theorem 8.6.5; ln(1 + x) <= x.
    """
    check_at_least(samples, 1, name="samples")
    return 1 / (2 * max(math.log(samples) - RESOLVED_NATS, LEAST_NATS))


def relative_noise_variance(activations: Tensor | FeaturePieces, ratio: float) -> float:
    """Return `ratio` times the variance over the samples, averaged over units.

    With fixed noise, larger weights alone raise the information. With relative noise, the scale of a layer cancels.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        ratio: positive.

    Returns:
        The noise variance, in squared activation units, as the estimators need it.

    Raises:
        ValueError: an argument is outside the description above, or no unit varies.

    Source: definition.
    """
    check_positive(ratio, name="ratio")
    variance = mean_unit_variance(activations)
    if variance == 0:
        raise ValueError("activations must vary for a noise relative to their variance, got equal samples")
    return ratio * variance
