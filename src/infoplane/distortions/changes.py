"""Changes of images that each destroy one kind of cue.

All take images `(n, channels, height, width)`, float32 or float64 in [0, 1], on any device, and return new ones of that
shape, type and range. At its identity level a distortion returns the same bits. Draws come from a generator on the CPU
or on the images' device, and belong to images by their place: the same seed distorts original and attacked versions of
the same examples alike.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from infoplane.checks import check_at_least, check_images, check_labels

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
TEXTURE_PIECES = 4  # per side, that another image's texture is cut into; the nearest number that divides the size


def saturate(images: Tensor, level: float) -> Tensor:
    """Push every pixel v towards 0 or 1: 1/2 + 1/2 sign(2v - 1) |2v - 1|^(2 / level). Destroys texture, keeps shape.

    A pixel of exactly 1/2 stays there at every level.

    Args:
        images: see above.
        level: at least 2, which changes nothing.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Ding et al. (2019), arXiv:1902.08336, Section 4; as a test of texture: Zhang & Zhu (2019), arXiv:1905.09797.
    """
    check_images(images)
    if not (math.isfinite(level) and level >= 2):
        raise ValueError(f"level must be finite and at least 2, got {level}")
    if level == 2:  # computed, 2v - 1 would round the lowest bits of dark pixels away
        return images.clone()
    centred = 2 * images - 1
    return (1 + centred.sign() * centred.abs().pow(2 / level)) / 2


def shuffle_patches(images: Tensor, pieces: int, *, generator: torch.Generator) -> Tensor:
    """Cut each image into pieces x pieces patches and put them back in random order. Destroys shape, keeps texture.

    Each image has its own permutation. With a generator on the CPU, images keep theirs when they come in several calls.

    Args:
        images: see above.
        pieces: per side, at least 1, which changes nothing; divides height and width.
        generator: of the permutations.

    Raises:
        ValueError: an argument is outside the description above; where `pieces` does not divide, it says what does.

    Source: Zhang & Zhu (2019), arXiv:1905.09797, Section 3.
    """
    check_images(images)
    check_pieces(pieces, images.shape[2], images.shape[3])
    if pieces == 1:
        return images.clone()
    return _shuffled(images, pieces, generator)


def low_pass(images: Tensor, width: float) -> Tensor:
    """Blur: multiply each channel's spectrum by exp(-2 (pi width f)^2), f in cycles per pixel. Destroys fine detail.

    That is a Gaussian whose standard deviation is `width` pixels, on an image that repeats itself beyond its borders.
    The mean of each channel is kept.

    Args:
        images: see above.
        width: in pixels, at least 0, which changes nothing.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Geirhos et al. (2018), arXiv:1808.08750, Section 2.2, for the use; the border is ours.
    """
    check_images(images)
    if not (math.isfinite(width) and width >= 0):
        raise ValueError(f"width must be finite and at least 0, got {width}")
    return images.clone() if width == 0 else _blurred(images, width).clamp_(0, 1)


def high_pass(images: Tensor, width: float) -> Tensor:
    """Keep what `low_pass` of this width takes away, and the mean of each channel. Destroys coarse form.

    Pixels that leave [0, 1] are clipped.

    Args:
        images: see above.
        width: in pixels, positive; infinity changes nothing, for such a blur leaves the mean alone.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Geirhos et al. (2018), arXiv:1808.08750, Section 2.2, where the mean is set to a grey.
    """
    check_images(images)
    if not width > 0:  # written so that NaN fails too
        raise ValueError(f"width must be positive, or infinite, got {width}")
    if math.isinf(width):
        return images.clone()
    images = images.contiguous()  # the order of a sum, hence its last bits, would follow the layout
    return (images - _blurred(images, width) + images.mean(dim=(2, 3), keepdim=True)).clamp_(0, 1)


def remove_colour(images: Tensor, share: float = 1.0) -> Tensor:
    """Move every channel towards the pixel's luminance (ITU-R BT.601), which is kept. Destroys colour.

    Args:
        images: see above, with three channels: red, green, blue.
        share: of the way, from 0, which changes nothing, to 1, where all channels are equal.

    Raises:
        ValueError: an argument is outside the description above.

    Source: definition.
    """
    check_images(images)
    if images.shape[1] != len(LUMINANCE):
        raise ValueError(f"images must have three channels to lose their colour, got {images.shape[1]}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if share == 0:
        return images.clone()
    weights = torch.tensor(LUMINANCE, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    grey = (images * weights).sum(dim=1, keepdim=True)
    return ((1 - share) * images + share * grey).clamp_(0, 1)


def add_noise(images: Tensor, deviation: float, *, generator: torch.Generator) -> Tensor:
    """Add independent Gaussian noise to every pixel and clip to [0, 1]. Destroys faint detail of any size.

    Clipped, the noise is weaker than its name near black and white.

    Args:
        images: see above.
        deviation: standard deviation before clipping, in pixels of [0, 1], at least 0, which changes nothing.
        generator: of the noise.

    Raises:
        ValueError: an argument is outside the description above.

    Source: definition.
    """
    check_images(images)
    if not (math.isfinite(deviation) and deviation >= 0):
        raise ValueError(f"deviation must be finite and at least 0, got {deviation}")
    if deviation == 0:
        return images.clone()
    noise = torch.randn(images.shape, generator=generator, device=generator.device, dtype=images.dtype)
    return (images + deviation * noise.to(images.device)).clamp_(0, 1)


def exchange_texture(images: Tensor, labels: Tensor, width: float, *, generator: torch.Generator) -> Tensor:
    """Give each image the texture of one of another class. Sets shape and texture against each other.

    The shape is `low_pass` of the image; the texture, what `low_pass` takes from an image of another class out of this
    same batch, cut into patches that are shuffled, so that no outline comes with it. Their sum is clipped to [0, 1].
    The label stays that of the shape.

    Args:
        images: see above, of at least two classes.
        labels: `(n,)` integers.
        width: of the blur in pixels, at least 0, which changes nothing: the larger, the more is exchanged.
        generator: of the choice of images and of the permutations.

    Raises:
        ValueError: an argument is outside the description above.

    Source: ours, in the spirit of the cue conflicts of Geirhos et al. (2019), arXiv:1811.12231, without style transfer.
    """
    check_images(images)
    donors = texture_donors(labels, generator=generator)
    check_labels(labels, len(images))
    if not (math.isfinite(width) and width >= 0):
        raise ValueError(f"width must be finite and at least 0, got {width}")
    if width == 0:
        return images.clone()
    shape = _blurred(images, width)
    texture = (images - shape)[donors.to(images.device)]
    pieces = nearest_divisors((TEXTURE_PIECES,), images.shape[2], images.shape[3])[0]
    return (shape + _shuffled(texture, pieces, generator)).clamp_(0, 1)


def texture_donors(labels: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw for each example, uniformly, one of another class.

    Args:
        labels: `(n,)` integers, of at least two classes.
        generator: on any device.

    Returns:
        `(n,)` indices, on the CPU.

    Raises:
        ValueError: an argument is outside the description above.

    Source: definition.
    """
    check_labels(labels, len(labels))
    order = labels.cpu().argsort(stable=True)
    _, inverse, sizes = torch.unique(labels.cpu(), return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("labels must hold at least two classes, so that each example has one of another class")
    own = sizes[inverse]
    others = len(labels) - own
    draws = torch.rand(len(labels), generator=generator, device=generator.device, dtype=torch.double).cpu()
    place = (draws * others).long().clamp_(max=others - 1)
    begin = (sizes.cumsum(0) - sizes)[inverse]  # of the example's class among examples in the order of classes
    return order[torch.where(place < begin, place, place + own)]


def divisors(height: int, width: int) -> list[int]:
    """Return the numbers that divide both sides of an image, ascending."""
    common = math.gcd(height, width)
    return [number for number in range(1, common + 1) if common % number == 0]


def nearest_divisors(pieces: Sequence[float], height: int, width: int) -> tuple[int, ...]:
    """Return for each of `pieces` the nearest number that divides both sides, the smaller of two, each once."""
    known = divisors(height, width)
    return tuple(dict.fromkeys(min(known, key=lambda number: abs(number - wanted)) for wanted in pieces))


def check_pieces(pieces: int, height: int, width: int) -> None:
    """Raise ValueError unless an image of this size can be cut into `pieces` equal parts per side."""
    check_at_least(pieces, 1, name="pieces")
    if height % pieces or width % pieces:
        known = ", ".join(map(str, divisors(height, width)))
        raise ValueError(f"pieces must divide {height} x {width} pixels evenly, got {pieces}; these do: {known}")


def _shuffled(values: Tensor, pieces: int, generator: torch.Generator) -> Tensor:
    number, channels, height, width = values.shape
    # float64: equal draws, which argsort would leave in order, are out of reach
    draws = torch.rand(number, pieces**2, generator=generator, device=generator.device, dtype=torch.double)
    order = draws.argsort(dim=1).to(values.device)
    cut = values.reshape(number, channels, pieces, height // pieces, pieces, width // pieces)
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (n, patches, channels, patch height, patch width)
    shuffled = patches[torch.arange(number, device=values.device)[:, None], order]
    grid = shuffled.reshape(number, pieces, pieces, *shuffled.shape[2:]).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(values.shape)


def _blurred(images: Tensor, width: float) -> Tensor:
    """Return the images under a Gaussian of this standard deviation; rounding can leave [0, 1] by a hair."""
    height, columns = images.shape[2:]
    facts = {"dtype": images.dtype, "device": images.device}
    vertical, horizontal = torch.fft.fftfreq(height, **facts), torch.fft.rfftfreq(columns, **facts)
    squared = vertical.square()[:, None] + horizontal.square()[None, :]
    kept = torch.exp(-2 * (math.pi * width) ** 2 * squared)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, columns))
    return blurred
