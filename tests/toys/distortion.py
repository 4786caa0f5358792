"""A distortion in one file: fading to grey."""

from infoplane.distortions import Distortion


def fade(images, labels, level, generator):
    return images.clone() if level == 0 else (1 - level) * images + level / 2


TOY_DISTORTION = Distortion(
    name="toy-fading",
    destroys="contrast",
    level="share of contrast removed",
    identity=0,
    levels=(0, 0.5, 1),
    apply=fade,
)
