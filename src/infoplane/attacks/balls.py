"""Balls around images: the set of allowed attacked images, each within [0, 1]."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from infoplane.randomness import draw_per_image

Norm = Literal["linf", "l2"]


class Region(Protocol):
    """Set of allowed attacked versions of one batch of images."""

    def random_point(self, generator: torch.Generator) -> Tensor:
        """Draw one point per image uniformly from its ball, then clamp it to [0, 1]."""
        ...

    def projected_(self, attacked: Tensor) -> Tensor:
        """Move `attacked` into the region, in place, and return it."""
        ...

    def step_(self, attacked: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        """Take one step of steepest ascent, in place, and project.

        Args:
            attacked: `(batch, channels, height, width)`, inside the region.
            gradient: likewise; only its direction counts.
            size: length of the step in the norm of the ball, one for all images or one for each, `(batch,)`.
        """
        ...


class LinfRegion:
    """Pixels within `epsilon` of the original.

    Args:
        images: `(batch, channels, height, width)` in [0, 1].
        epsilon: positive.
    """

    def __init__(self, images: Tensor, epsilon: float) -> None:
        self._images, self._epsilon = images, epsilon
        self._lower, self._upper = (images - epsilon).clamp_(min=0), (images + epsilon).clamp_(max=1)

    def random_point(self, generator: torch.Generator) -> Tensor:
        noise = draw_per_image(torch.rand, self._images.shape, generator, dtype=self._images.dtype)
        return self.projected_(self._images + (2 * noise - 1).to(self._images.device) * self._epsilon)

    def projected_(self, attacked: Tensor) -> Tensor:
        return attacked.clamp_(self._lower, self._upper)

    def step_(self, attacked: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        direction = gradient.sign()  # not in place: it can be an expanded view
        if isinstance(size, Tensor):
            return self.projected_(attacked.addcmul_(direction, per_image(size, direction)))
        return self.projected_(attacked.add_(direction, alpha=size))


class L2Region:
    """Images within Euclidean distance `epsilon` of the original.

    Images are projected onto the ball and then onto [0, 1]. The second projection only shortens a perturbation.

    Args:
        images: `(batch, channels, height, width)` in [0, 1].
        epsilon: positive.
    """

    def __init__(self, images: Tensor, epsilon: float) -> None:
        self._images, self._epsilon = images, epsilon

    def random_point(self, generator: torch.Generator) -> Tensor:
        images, dtype = self._images, self._images.dtype
        direction = draw_per_image(torch.randn, images.shape, generator, dtype=dtype).to(images.device)
        # Volume grows with the power of the dimension: a uniform radius would crowd the centre.
        draws = draw_per_image(torch.rand, (len(images),), generator, dtype=dtype).to(images.device)
        return (images + _scaled(direction, self._epsilon * draws ** (1 / images[0].numel()))).clamp_(0, 1)

    def projected_(self, attacked: Tensor) -> Tensor:
        change = attacked.sub_(self._images)
        lengths = _lengths(change)
        change.mul_(per_image((self._epsilon / lengths.clamp(min=1e-12)).clamp(max=1), change))
        return change.add_(self._images).clamp_(0, 1)

    def step_(self, attacked: Tensor, gradient: Tensor, size: float | Tensor) -> Tensor:
        lengths = size if isinstance(size, Tensor) else torch.full_like(_lengths(gradient), size)
        return self.projected_(attacked.add_(_scaled(gradient, lengths)))


def region_around(images: Tensor, norm: Norm, epsilon: float) -> Region:
    """Return the ball of this norm and radius around each image, within [0, 1]."""
    return LinfRegion(images, epsilon) if norm == "linf" else L2Region(images, epsilon)


def random_perturbation(images: Tensor, norm: Norm, epsilon: float, generator: torch.Generator) -> Tensor:
    """Move each image as far as an attack may, in a random direction, then clamp it to [0, 1].

    In the L-infinity ball each pixel moves by `epsilon`, up or down at random. In the L2 ball the direction is uniform
    on the sphere, and the distance is `epsilon` before the clamping.

    Args:
        images: `(n, channels, height, width)` in [0, 1].
        norm: of the ball.
        epsilon: radius of the ball.
        generator: source of the draws.
    """
    direction = draw_per_image(torch.randn, images.shape, generator, dtype=images.dtype).to(images.device)
    if norm == "linf":
        return (images + epsilon * direction.sign()).clamp_(0, 1)
    return (images + _scaled(direction, torch.full_like(_lengths(direction), epsilon))).clamp_(0, 1)


def boundary_point(images: Tensor, norm: Norm, epsilon: float, generator: torch.Generator) -> Tensor:
    """Draw one direction per image, uniformly in [-1, 1]^d (L-infinity) or on the sphere (L2), go along it to the
    boundary of the ball, then clamp to [0, 1]: the start of APGD.

    Args:
        images: `(n, channels, height, width)` in [0, 1].
        norm: of the ball.
        epsilon: radius of the ball.
        generator: source of the draws.
    """
    if norm == "l2":
        return random_perturbation(images, norm, epsilon, generator)
    noise = draw_per_image(torch.rand, images.shape, generator, dtype=images.dtype).to(images.device)
    return (images + epsilon * by_largest(2 * noise - 1)).clamp_(0, 1)


def _lengths(tensor: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(tensor.flatten(start_dim=1), dim=1)
    return lengths


def by_largest(directions: Tensor) -> Tensor:
    """Divide each image's direction by its largest element; where all are zero, or one is not finite, return zeros."""
    largest = directions.abs().amax(dim=tuple(range(1, directions.ndim)), keepdim=True)
    return torch.where(largest.isfinite() & (largest > 0), directions / largest, 0.0)


def _scaled(directions: Tensor, lengths: Tensor) -> Tensor:
    """Return the directions at these lengths; a direction that is zero or not finite becomes zero."""
    # Squares of small and of large elements leave the range of float32: the largest element is made 1 first.
    directions = by_largest(directions)
    return directions * per_image(lengths / _lengths(directions).clamp(min=1), directions)


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per image, `(batch,)`, in a shape that multiplies each image of `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))
