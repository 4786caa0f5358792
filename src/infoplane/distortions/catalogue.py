"""List of the distortions that a study can measure. To add one, write its function and add it to the list."""

import math
from typing import TYPE_CHECKING

from infoplane import distortions
from infoplane.distortions.spec import Distortion
from infoplane.errors import unknown_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _shuffle(images: "Tensor", _labels: "Tensor", level: float, generator: "torch.Generator") -> "Tensor":
    if not float(level).is_integer():
        raise ValueError(f"pieces must be a whole number, got {level:g}")
    return distortions.shuffle_patches(images, int(level), generator=generator)


# The distortions that there are.
DISTORTIONS: list[Distortion] = [
    Distortion(
        name="saturation",
        destroys="texture",
        level="saturation level p",
        identity=2,
        levels=(2, 8, 16, 64, 1024),
        apply=lambda images, _labels, level, _generator: distortions.saturate(images, level),
    ),
    Distortion(
        name="shuffling",
        destroys="shape",
        level="patches per side",
        identity=1,
        levels=(1, 2, 4, 8),
        apply=_shuffle,
        fitted=lambda levels, height, width: distortions.nearest_divisors(levels, height, width),
    ),
    Distortion(
        name="low-pass",
        destroys="fine detail",
        level="blur, pixels",
        identity=0,
        levels=(0, 0.5, 1, 2, 4),
        apply=lambda images, _labels, level, _generator: distortions.low_pass(images, level),
    ),
    Distortion(
        name="high-pass",
        destroys="coarse form",
        level="blur taken away, pixels",
        identity=math.inf,
        levels=(math.inf, 4, 2, 1, 0.5),
        apply=lambda images, _labels, level, _generator: distortions.high_pass(images, level),
    ),
    Distortion(
        name="grey",
        destroys="colour",
        level="share of colour removed",
        identity=0,
        levels=(0, 0.5, 1),
        apply=lambda images, _labels, level, _generator: distortions.remove_colour(images, level),
    ),
    Distortion(
        name="noise",
        destroys="faint detail",
        level="standard deviation",
        identity=0,
        levels=(0, 0.05, 0.1, 0.2, 0.4),
        apply=lambda images, _labels, level, generator: distortions.add_noise(images, level, generator=generator),
    ),
    Distortion(
        name="texture-exchange",
        destroys="agreement of shape and texture",
        level="blur exchanged, pixels",
        identity=0,
        levels=(0, 0.5, 1, 2, 4),
        apply=lambda images, labels, level, generator: distortions.exchange_texture(
            images, labels, level, generator=generator
        ),
        lends_textures=True,
    ),
]


def distortion_named(name: str) -> Distortion:
    """Return the distortion with this name.

    Raises:
        UserError: there is no such distortion; the message lists all distortions.
    """
    known = {distortion.name: distortion for distortion in DISTORTIONS}
    if name not in known:
        raise unknown_name("distortion", name, known)
    return known[name]
