"""Image tasks with known information: drawn images, and those of any labelled dataset.

Pixels are float32 in [0, 1], as features; reshape them to `(samples, size, size)` to view them.
"""

import math

import torch
from torch import Tensor

from infoplane.checks import check_at_least
from infoplane.estimators.tasks.bijections import normal_cdf
from infoplane.estimators.tasks.labels import (
    LabelTask,
    flipped,
    labelled_gaussians,
    symmetric_channel_information,
)
from infoplane.estimators.tasks.pairs import PairTask, correlated_normals, mapped

MINIMUM_SIZE = 16  # pixels; with fewer, a rectangle may cover no pixel wholly, and its edges cannot be recovered


def draw_blobs(latents: Tensor, size: int) -> Tensor:
    """Draw a Gaussian blob whose centre two latents in [0, 1] give, `(samples, 2)`.

    Returns:
        `(samples, size, size)`; the centre can be recovered from the ratio of neighbouring pixels.
    """
    check_at_least(size, MINIMUM_SIZE, name="size")
    centres = size * (0.25 + latents / 2)
    pixels = torch.arange(size, device=latents.device) + 0.5
    width = size / 8
    across, down = torch.exp(-((pixels - centres[..., None]) ** 2) / (2 * width**2)).unbind(dim=1)
    return (down[:, :, None] * across[:, None, :]).float()


def draw_rectangles(latents: Tensor, size: int) -> Tensor:
    """Draw a rectangle whose left, right, upper and lower edges four latents in [0, 1] give, `(samples, 4)`.

    Returns:
        `(samples, size, size)`; the brightness of a pixel is the share that the rectangle covers, so the edges can be
        recovered.
    """
    check_at_least(size, MINIMUM_SIZE, name="size")
    # The pixels in the middle are always covered wholly, so their row and column show the brightness of each edge.
    starts, ends = size * (0.05 + 0.35 * latents[:, ::2, None]), size * (0.6 + 0.35 * latents[:, 1::2, None])
    pixels = torch.arange(size, device=latents.device)
    across, down = (torch.minimum(ends, pixels + 1) - torch.maximum(starts, pixels)).clamp(0, 1).unbind(dim=1)
    return (down[:, :, None] * across[:, None, :]).float()


def draw_shapes(samples: int, size: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw rectangles (class 0) and blobs (class 1) at random places; their numbers differ by at most one.

    Returns:
        Images `(samples, size, size)` and classes `(samples,)`.
    """
    check_at_least(samples, 2, name="samples")
    latents = torch.rand(samples, 4, generator=generator, device=generator.device, dtype=torch.double)
    half = samples // 2
    images = torch.cat([draw_rectangles(latents[:half], size), draw_blobs(latents[half:, :2], size)])
    return images, (torch.arange(samples, device=generator.device) >= half).long()


def blob_pairs(samples: int, size: int, *, correlation: float, generator: torch.Generator) -> PairTask:
    """Draw pairs of images of one blob each, whose horizontal and vertical places correlate independently.

    The places can be recovered from the images, so the information is that of two normal pairs of this correlation.

    Raises:
        ValueError: fewer than one sample or too few pixels, or `correlation` outside (-1, 1).

    Source: Butakov et al. (2024), Information Bottleneck Analysis of Deep Neural Networks via Lossy Compression, ICLR,
    arXiv:2305.08013, for images drawn from latents of known information.
    """
    latents = correlated_normals(samples, (correlation,) * 2, generator=generator)

    def draw(values: Tensor) -> Tensor:
        return draw_blobs(normal_cdf(values), size).flatten(start_dim=1)

    return mapped(latents, draw, draw)


def rectangle_pairs(samples: int, size: int, *, correlation: float, generator: torch.Generator) -> PairTask:
    """Draw pairs of images of one rectangle each, in which each of the four edges correlates with its counterpart.

    The edges can be recovered from the images, so the information is that of four normal pairs of this correlation.

    Raises:
        ValueError: fewer than one sample or too few pixels, or `correlation` outside (-1, 1).

    Source: as `blob_pairs`.
    """
    latents = correlated_normals(samples, (correlation,) * 4, generator=generator)

    def draw(values: Tensor) -> Tensor:
        return draw_rectangles(normal_cdf(values), size).flatten(start_dim=1)

    return mapped(latents, draw, draw)


def same_class_pairs(
    samples: int, images: Tensor, classes: Tensor, *, patches: int, flip: float, generator: torch.Generator
) -> PairTask:
    """Draw pairs of images from the same classes: X and Y of `patches` images each, all drawn anew.

    Each patch of X shows a uniformly drawn class. The same patch of Y shows the output of a symmetric channel for that
    class. X and Y share nothing else, so I(X;Y) is `patches` times the information of the channel: ln 2 - H(flip) for
    two classes.

    Args:
        samples: number of pairs.
        images: `(images, ...)`, none of them in two classes. Images are drawn with replacement.
        classes: `(images,)` integers.
        patches: images side by side in each of X and Y.
        flip: probability that the class of a patch differs between X and Y.
        generator: source of the draws, on the device of the images.

    Raises:
        ValueError: fewer than one sample or patch or two classes, or `flip` outside [0, 1].

    Source: Lee & Rhee (2024), A Benchmark Suite for Evaluating Neural Mutual Information Estimators on Unstructured
    Datasets, NeurIPS, arXiv:2410.10924.
    """
    check_at_least(samples, 1, name="samples")
    check_at_least(patches, 1, name="patches")
    count = len(torch.unique(classes))
    information = patches * symmetric_channel_information(flip, count)
    shown = torch.randint(count, (samples, patches), generator=generator, device=images.device)
    x, y = (
        _images_of(names, images, classes, generator).reshape(samples, -1)
        for names in (shown, flipped(shown, flip, count, generator))
    )
    return PairTask(x, y, information)


def labelled_images(
    samples: int, images: Tensor, classes: Tensor, *, flip: float, generator: torch.Generator
) -> LabelTask:
    """Draw images of uniformly drawn classes, and labels that are another class with probability `flip`.

    Labels number the classes from zero in ascending order. Arguments and errors are those of `same_class_pairs`.
    """
    check_at_least(samples, 1, name="samples")
    count = len(torch.unique(classes))
    information = symmetric_channel_information(flip, count)
    shown = torch.randint(count, (samples,), generator=generator, device=images.device)
    activations = _images_of(shown, images, classes, generator).flatten(start_dim=1)
    return LabelTask(activations, flipped(shown, flip, count, generator), information)


def labelled_lamps(samples: int, size: int, *, spread: float, generator: torch.Generator) -> LabelTask:
    """Draw images of ten lamps in a ring, whose brightness the features of `labelled_gaussians` give, with its labels.

    The pictures of the lamps are linearly independent, and brightness rises with the feature. So all features can be
    recovered from the image.

    Raises:
        ValueError: fewer than one sample or too few pixels, or `spread` not positive.
    """
    check_at_least(size, MINIMUM_SIZE, name="size")
    task = labelled_gaussians(samples, 10, spread=spread, generator=generator)
    # Half as steep as the logistic curve, so that float32 still separates bright lamps.
    images = torch.sigmoid(task.activations / 2) @ lamps(size).to(task.activations)
    return LabelTask(images, task.labels, task.information)


def lamps(size: int) -> Tensor:
    """Return the pictures of the ten single lamps, `(10, size * size)`. Their sum stays within [0, 1]."""
    turns = 2 * math.pi * torch.arange(10, dtype=torch.double) / 10
    centres = size * (0.5 + torch.stack([turns.cos(), turns.sin()], dim=1) / 3)
    pixels = torch.arange(size) + 0.5
    width = size / 20
    across, down = torch.exp(-((pixels - centres[..., None]) ** 2) / (2 * width**2)).unbind(dim=1)
    pictures = (down[:, :, None] * across[:, None, :]).flatten(start_dim=1)
    return pictures / pictures.sum(dim=0).max()


def _images_of(names: Tensor, images: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one image for each entry of `names`, uniformly among those of that class: `(*names.shape, ...)`."""
    _, indices, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    grouped = indices.argsort(stable=True)
    first = counts.cumsum(dim=0) - counts
    shares = torch.rand(names.shape, generator=generator, device=images.device, dtype=torch.double)
    return images[grouped[first[names] + (shares * counts[names]).long()]]
