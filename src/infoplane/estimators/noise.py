"""How much noise a layer is observed through."""

from torch import Tensor

from infoplane.checks import check_positive
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.geometry import mean_unit_variance

NOISE_SHARE = 1 / 32  # of a layer's total variance: distances grow with the width, and so must noise that hides some


def relative_noise_variance(activations: Tensor | FeaturePieces, ratio: float) -> float:
    """Return the noise variance that is `ratio` of the mean over units of a unit's variance over the samples.

    At a fixed noise, growing weights alone raise the information; at a relative one, the scale of a layer drops out.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        ratio: positive.

    Returns:
        In squared activation units, as the estimators take it.

    Raises:
        ValueError: an argument is outside the description above, or no unit varies.

    Source: definition.
    """
    check_positive(ratio, name="ratio")
    variance = mean_unit_variance(activations)
    if variance == 0:
        raise ValueError("activations must vary for a noise relative to their variance, got equal samples")
    return ratio * variance
