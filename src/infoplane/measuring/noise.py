"""Choice of the noise at which I(X;T) and I(T;Y) of a layer are measured."""

from typing import Any, NamedTuple

from infoplane.config import MeasurementConfig
from infoplane.estimators import resolved_noise_share
from infoplane.records.tables import FIXED_NOISE, RELATIVE_NOISE, SWEPT_NOISE
from infoplane.text import with_field_help


@with_field_help
class Noise(NamedTuple):
    """Gaussian noise around a layer's outputs.

    Attributes:
        mode: FIXED_NOISE, RELATIVE_NOISE or SWEPT_NOISE.
        variance: in squared activation units.
        ratio: of the variance to the mean variance per unit, where the mode goes by it.
    """

    mode: str
    variance: float
    ratio: float | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns of the records that describe it."""
        return {"noise_mode": self.mode, "noise_ratio": self.ratio, "noise_variance": self.variance}


def chosen_noises(
    settings: MeasurementConfig, *, samples: int, features: int, scale: float, swept: bool
) -> list[Noise]:
    """Return the noises of a measurement: fixed, relative to the variance of the layer and, if asked for, swept.

    Args:
        settings: variance of the fixed noise, ratio of the relative noise and ratios of the sweep.
        samples: number of examples, from which the default ratio follows: that at which they resolve any layer.
        features: number of units of the layer; the ratio of a share of the total variance is proportional to it.
        scale: mean variance per unit. A layer without any variance has no relative noise.
        swept: whether the ratios of the sweep are due.
    """
    found = [Noise(FIXED_NOISE, settings.noise_variance)]
    if scale > 0:
        relative = settings.noise_ratio or resolved_noise_share(samples) * features
        ratios = [(RELATIVE_NOISE, relative), *((SWEPT_NOISE, ratio) for ratio in settings.noise_sweep if swept)]
        found += [Noise(mode, ratio * scale, ratio) for mode, ratio in ratios]
    return found
