"""Standardise units to mean 0 and variance 1, at any offset and scale, block by block."""

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

_FARTHEST = 1e15  # standard deviations; products of larger values would leave the range of float32
_CACHED = 2**19  # numbers that fit a core's cache; a block of fewer than 16 rows costs more than it saves


def row_blocks(samples: int, features: int, device: torch.device) -> Iterator[slice]:
    """Cut samples into blocks of rows that fit the cache of a CPU."""
    step = max(16, _CACHED // features) if device.type == "cpu" else samples
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))


class Origin(NamedTuple):
    """Origin and scale of the differences of each unit, both `(features,)` float64.

    The origin is one of the unit's values, so that a common offset costs no digits. The scale (`measure`) keeps squares
    of very small and very large differences in the range of float64.
    """

    value: Tensor
    measure: Tensor | None  # the largest difference; None for shorter float types, whose squares stay in range

    @classmethod
    def of(cls, activations: Tensor) -> "Origin":
        """Choose origin and scale for all samples, `(samples, features)`.

        Raises:
            ValueError: differences of a unit leave the range of float64.
        """
        value = activations[0].double()
        if activations.dtype != torch.double:
            return cls(value, None)
        lowest, highest = _extremes(activations)
        farthest = torch.maximum(highest - value, value - lowest)
        if not farthest.isfinite().all():
            raise ValueError("activations must differ by less than 1.8e308 within each unit")
        return cls(value, torch.where(farthest > 0, farthest, 1.0))

    def differences_(self, activations: Tensor) -> Tensor:
        """Return activations, `(rows, features)`, relative to the origin, in float64; the input may be overwritten."""
        differences = activations.double().sub_(self.value)
        return differences if self.measure is None else differences.div_(self.measure)


class Moments(NamedTuple):
    """Moments of differences from an origin, in float64. Two sets can be combined without cancellation."""

    samples: int
    mean: Tensor  # (features,)
    squares: Tensor  # (features,) sum of squared deviations from the mean
    lowest: Tensor  # (features,)
    highest: Tensor  # (features,)


def _extremes(points: Tensor) -> tuple[Tensor, Tensor]:
    return points.amin(dim=0), points.amax(dim=0)  # torch.aminmax along rows takes five times as long on a CPU


def moments(activations: Tensor, rows: Tensor, origin: Origin) -> Moments:
    """Return the moments of some rows of `(samples, features)`."""

    def parts() -> Iterator[Moments]:
        for block in row_blocks(len(rows), activations.shape[1], activations.device):
            points = origin.differences_(activations[rows[block].to(activations.device)])
            extremes, mean = _extremes(points), points.mean(dim=0)
            yield Moments(len(points), mean, points.sub_(mean).square_().sum(dim=0), *extremes)

    return reduce(pooled, parts())


def pooled(one: Moments, other: Moments) -> Moments:
    """Return the moments of the union of two sets of examples.

    Source: Chan, Golub & LeVeque (1983), Am. Stat. 37(3), 242, the pairwise algorithm.
    """
    samples, gap = one.samples + other.samples, other.mean - one.mean
    return Moments(
        samples,
        one.mean + gap * (other.samples / samples),
        one.squares + other.squares + gap.square() * (one.samples * other.samples / samples),
        torch.minimum(one.lowest, other.lowest),
        torch.maximum(one.highest, other.highest),
    )


class Standardisation(NamedTuple):
    """Scales units to mean 0 and variance 1, and constant units to 0."""

    origin: Origin
    mean: Tensor  # (features,) of the differences from the origin
    scale: Tensor  # (features,) float64

    @classmethod
    def by(cls, found: Moments, origin: Origin) -> "Standardisation":
        """Return the standardisation by the mean and variance of some examples."""
        spread = (found.squares / found.samples).sqrt()
        return cls(origin, found.mean, torch.where(found.highest > found.lowest, 1 / spread, 0.0))

    def __call__(self, activations: Tensor, rows: Tensor) -> Tensor:
        """Return `activations[rows]` standardised, in float32."""
        points = torch.empty((len(rows), len(self.mean)), device=activations.device)
        for block in row_blocks(len(rows), len(self.mean), activations.device):
            differences = self.origin.differences_(activations[rows[block].to(activations.device)])
            points[block] = differences.sub_(self.mean).mul_(self.scale).clamp_(-_FARTHEST, _FARTHEST)
        return points
