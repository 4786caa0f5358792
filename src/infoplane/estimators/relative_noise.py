"""Noise variance relative to the variance of a layer."""

from torch import Tensor

from infoplane.checks import check_positive
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.geometry import mean_unit_variance

NOISE_SHARE = 1 / 32  # of a layer's total variance; distances grow with the width, so the noise must grow too


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
