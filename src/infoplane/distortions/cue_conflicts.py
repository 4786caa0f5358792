"""Cue conflicts: images with the shape of one class and the texture of another.

Images are exchanged in pairs. Each image lends its shape to one conflict and its texture to the other conflict of its
pair, so conflicts of different pairs have no image in common.
"""

import torch
from torch import Tensor

from infoplane.checks import check_images, check_labels, check_one_of, check_positive
from infoplane.distortions.changes import TEXTURE_PIECES, low_pass, nearest_divisors, shuffle_patches

HIGH_PASS, PATCHES = "high-pass", "patches"  # what is taken of the image that lends its texture
CONFLICT_KINDS = (HIGH_PASS, PATCHES)  # ways to make a conflict of two images


def conflict_images(shapes: Tensor, textures: Tensor, *, kind: str, width: float, generator: torch.Generator) -> Tensor:
    """Return images with the shape of `shapes` and the texture of `textures`, row by row.

    The shape is `low_pass` of the image that lends it. The texture is cut into about 4 x 4 patches and shuffled, so
    that it carries no outline. There are two kinds. "high-pass" adds to the shape what `low_pass` removes from the
    other image. "patches" is the mean of the shape and of the other image, which keeps its colours and coarse shades
    within each patch. Pixels outside [0, 1] are clipped.

    Args:
        shapes: `(n, channels, height, width)`, float32 or float64 in [0, 1].
        textures: the same shape and type, each of another class than the image of `shapes` in its row.
        kind: "high-pass" or "patches".
        width: standard deviation of the blur in pixels, positive.
        generator: draws the permutations of the patches.

    Raises:
        ValueError: an argument is outside the description above.

    Source: this project, after the cue conflicts of Geirhos et al. (2019), arXiv:1811.12231, without style transfer.
    """
    check_images(shapes, name="shapes")
    check_images(textures, name="textures")
    check_one_of(kind, CONFLICT_KINDS, name="kind")
    check_positive(width, name="width")
    if shapes.shape != textures.shape or shapes.dtype != textures.dtype:
        raise ValueError(
            f"shapes and textures must have one shape and type, got {tuple(shapes.shape)} {shapes.dtype} and "
            f"{tuple(textures.shape)} {textures.dtype}"
        )
    blurred = low_pass(shapes, width)
    pieces = nearest_divisors((TEXTURE_PIECES,), *shapes.shape[2:])[0]
    if kind == PATCHES:
        return (blurred + shuffle_patches(textures, pieces, generator=generator)) / 2
    detail = textures - low_pass(textures, width)  # from -1 to 1, moved to [0, 1] to be shuffled
    shuffled = 2 * shuffle_patches(((detail + 1) / 2).clamp_(0, 1), pieces, generator=generator) - 1
    return (blurred + shuffled).clamp_(0, 1)


def exchange_partners(labels: Tensor, *, generator: torch.Generator) -> Tensor:
    """Pair each image with one of another class, and every two classes about equally often.

    The largest class is paired first, with the class that it was paired with least; so as many images as possible get
    a partner. Images are drawn at random from their class.

    Args:
        labels: `(n,)` integers.
        generator: draws the images, on any device.

    Returns:
        `(n,)` indices of the partners, on the CPU; -1 where none is left. The partner of the partner is the image.

    Raises:
        ValueError: `labels` is no such tensor, or has fewer than two classes.

    Source: definition.
    """
    check_labels(labels, len(labels))
    names, classes = torch.unique(labels.cpu(), return_inverse=True)
    if len(names) < 2:
        raise ValueError("labels must hold at least two classes, so that an image has one of another class")
    order = torch.randperm(len(classes), generator=generator, device=generator.device).cpu()
    left = [order[classes[order] == one].tolist() for one in range(len(names))]
    pairs = torch.zeros(len(names), len(names), dtype=torch.long)  # of each two classes so far
    partners = torch.full((len(classes),), -1)
    while sum(map(bool, left)) > 1:
        draws = torch.rand(2, len(names), generator=generator, device=generator.device).tolist()  # break ties
        first = max(range(len(names)), key=lambda one: (len(left[one]), draws[0][one]))
        others = [one for one in range(len(names)) if left[one] and one != first]
        counts = pairs[first].tolist()
        second = min(others, key=lambda one: (counts[one], -len(left[one]), draws[1][one]))
        image, partner = left[first].pop(), left[second].pop()
        partners[image], partners[partner] = partner, image
        pairs[first, second] += 1
        pairs[second, first] += 1
    return partners
