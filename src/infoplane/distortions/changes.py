"""Distort images; each function destroys one kind of cue.

All functions take images `(n, channels, height, width)`, float32 or float64 in [0, 1], on any device, and return new
images of the same shape, type and range. At its identity level a distortion returns equal images, to the last bit.
Random numbers come from a generator on the CPU or on the images' device and depend on an image's index alone: the same
seed distorts the original and attacked versions of an example in the same way.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from infoplane.checks import check_at_least, check_images, check_labels

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
TEXTURE_PIECES = 4  # patches per side for another image's texture; the nearest number that divides the size is used


def saturate(images: Tensor, level: float) -> Tensor:
    """Saturate: move every pixel v to 1/2 + 1/2 sign(2v - 1) |2v - 1|^(2 / level). Destroys texture, keeps shape.

    A pixel of exactly 1/2 stays there at every level.

    Args:
        images: see above.
        level: at least 2; 2 changes nothing.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Ding et al. (2019), arXiv:1902.08336, Section 4; as a test of texture: Zhang & Zhu (2019), arXiv:1905.09797.
    """
    check_images(images)
    if not (math.isfinite(level) and level >= 2):
        raise ValueError(f"level must be finite and at least 2, got {level}")
    if level == 2:  # returned as it is, because 2v - 1 would round the lowest bits of dark pixels
        return images.clone()
    centred = 2 * images - 1
    return (1 + centred.sign() * centred.abs().pow(2 / level)) / 2


def shuffle_patches(images: Tensor, pieces: int, *, generator: torch.Generator) -> Tensor:
    """Cut each image into pieces x pieces patches and put them back in random order. Destroys shape, keeps texture.

    Each image has its own permutation. With a generator on the CPU, it does not depend on how images are batched.

    Args:
        images: see above.
        pieces: patches per side, at least 1; must divide height and width; 1 changes nothing.
        generator: draws the permutations.

    Raises:
        ValueError: an argument is outside the description above; if `pieces` does not divide, it lists what does.

    Source: Zhang & Zhu (2019), arXiv:1905.09797, Section 3.
    """
    check_images(images)
    check_pieces(pieces, images.shape[2], images.shape[3])
    if pieces == 1:
        return images.clone()
    return _shuffled(images, pieces, generator)


def low_pass(images: Tensor, width: float) -> Tensor:
    """Blur: multiply each channel's spectrum by exp(-2 (pi width f)^2), f in cycles per pixel. Destroys fine detail.

    This is convolution with a Gaussian of standard deviation `width` pixels and periodic borders. The mean of each
    channel is kept.

    Args:
        images: see above.
        width: in pixels, at least 0; 0 changes nothing.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Geirhos et al. (2018), arXiv:1808.08750, Section 2.2, for the use; the border is ours.
    """
    check_images(images)
    if not (math.isfinite(width) and width >= 0):
        raise ValueError(f"width must be finite and at least 0, got {width}")
    return images.clone() if width == 0 else _blurred(images, width).clamp_(0, 1)


def high_pass(images: Tensor, width: float) -> Tensor:
    """Keep what `low_pass` of this width removes, and the mean of each channel. Destroys coarse form.

    Pixels outside [0, 1] are clipped.

    Args:
        images: see above.
        width: in pixels, positive; infinity changes nothing, because such a blur keeps only the mean.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Geirhos et al. (2018), arXiv:1808.08750, Section 2.2, where the mean is set to a grey.
    """
    check_images(images)
    if not width > 0:  # written so that NaN fails too
        raise ValueError(f"width must be positive, or infinite, got {width}")
    if math.isinf(width):
        return images.clone()
    images = images.contiguous()  # otherwise the order of a sum, and so its last bits, depends on the memory layout
    return (images - _blurred(images, width) + images.mean(dim=(2, 3), keepdim=True)).clamp_(0, 1)


def remove_colour(images: Tensor, share: float = 1.0) -> Tensor:
    """Move every channel towards the pixel's luminance (ITU-R BT.601); the luminance is kept. Destroys colour.

    Args:
        images: see above, with three channels: red, green, blue.
        share: fraction of the way, in [0, 1]; 0 changes nothing, and at 1 all channels are equal.

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

    Near black and white, clipping makes the noise weaker than `deviation`.

    Args:
        images: see above.
        deviation: standard deviation before clipping, in pixels of [0, 1], at least 0; 0 changes nothing.
        generator: draws the noise.

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
    """Give each image the texture of an image of another class, so that shape and texture disagree.

    The shape is `low_pass` of the image. The texture is what `low_pass` removes from an image of another class in the
    same batch; it is cut into patches and shuffled, so that it carries no outline. Their sum is clipped to [0, 1]. The
    label stays that of the shape.

    Args:
        images: see above, of at least two classes.
        labels: `(n,)` integers.
        width: width of the blur in pixels, at least 0; 0 changes nothing, and a larger width exchanges more.
        generator: draws the other images and the permutations.

    Raises:
        ValueError: an argument is outside the description above.

    Source: this project, after the cue conflicts of Geirhos et al. (2019), arXiv:1811.12231, without style transfer.
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
    """Draw for each example, uniformly, an example of another class.

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
    begin = (sizes.cumsum(0) - sizes)[inverse]  # start of the example's class among examples sorted by class
    return order[torch.where(place < begin, place, place + own)]


def divisors(height: int, width: int) -> list[int]:
    """Return the numbers that divide both sides of an image, ascending."""
    common = math.gcd(height, width)
    return [number for number in range(1, common + 1) if common % number == 0]


def nearest_divisors(pieces: Sequence[float], height: int, width: int) -> tuple[int, ...]:
    """Return for each of `pieces` the nearest number that divides both sides (the smaller if tied), without repeats."""
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
    # float64, so that ties, which argsort would leave in order, practically do not occur
    draws = torch.rand(number, pieces**2, generator=generator, device=generator.device, dtype=torch.double)
    order = draws.argsort(dim=1).to(values.device)
    cut = values.reshape(number, channels, pieces, height // pieces, pieces, width // pieces)
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (n, patches, channels, patch height, patch width)
    shuffled = patches[torch.arange(number, device=values.device)[:, None], order]
    grid = shuffled.reshape(number, pieces, pieces, *shuffled.shape[2:]).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(values.shape)


def _blurred(images: Tensor, width: float) -> Tensor:
    """Return the images blurred by a Gaussian of this standard deviation; rounding can slightly exceed [0, 1]."""
    height, columns = images.shape[2:]
    facts = {"dtype": images.dtype, "device": images.device}
    vertical, horizontal = torch.fft.fftfreq(height, **facts), torch.fft.rfftfreq(columns, **facts)
    squared = vertical.square()[:, None] + horizontal.square()[None, :]
    kept = torch.exp(-2 * (math.pi * width) ** 2 * squared)
    blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, columns))
    return blurred
