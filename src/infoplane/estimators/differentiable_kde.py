"""The KDE upper bound of I(X;T) as a differentiable function of the layer and of its noise, for use in a loss."""

import math

import torch
from torch import Tensor

from infoplane.checks import check_positive, check_sample_rows


def differentiable_input_bound(activations: Tensor, noise_variance: Tensor | float) -> Tensor:
    """Bound I(X;T) of T = activations + N(0, noise_variance I) from above, in nats, with gradients.

    This is `kde_information(...).input_upper.value` as a tensor: with d_ij the squared distances of the samples, the
    bound is -mean_i ln mean_j exp(-d_ij / (2 noise_variance)), j = i included. Gradients reach the activations and the
    variance. Samples that coincide, and samples so far apart that their kernels are 0, have finite gradients. NaN and
    infinity in the activations give NaN: this function reads no value, so a GPU need not wait.

    Distances are sums of squared differences in float64, of all pairs: time grows as samples^2 x features, memory as
    samples^2. Meant for a batch.

    Args:
        activations: `(samples, features)`, of a float type.
        noise_variance: in squared activation units: a positive number, or a tensor of one element, which gives NaN if
            it is not positive.

    Returns:
        The bound, a scalar in float64, between 0 and ln samples.

    Raises:
        ValueError: an argument has another shape or type, or the number is not positive.

    Source: Kolchinsky, Tracey & Wolpert (2019), Entropy 21(12), 1181: their bound of I(X;T).
    """
    check_sample_rows(activations)
    if isinstance(noise_variance, Tensor):
        if noise_variance.numel() != 1:
            raise ValueError(f"noise_variance must have one element, got shape {tuple(noise_variance.shape)}")
        variance = noise_variance.double().reshape(())
        variance = torch.where(variance > 0, variance, torch.nan)
    else:
        check_positive(noise_variance, name="noise_variance")
        variance = torch.tensor(noise_variance, dtype=torch.double, device=activations.device)
    points = activations.double()
    # Not by matrix products: those subtract large squares. And cdist has gradient 0 where samples coincide.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    similarity = torch.logsumexp(-distances.square() / (2 * variance), dim=1)
    return math.log(len(points)) - similarity.mean()
