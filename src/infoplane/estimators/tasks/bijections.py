"""Injective maps of samples `(samples, features)`. They keep the information, but may bias estimators.

Source of all: Czyz et al. (2023), Beyond Normal, arXiv:2306.11078, Section 3 and the appendix on its distributions.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

WAVES_OF_X = ((0.4, 1.0, 0.0), (0.2, 1.7, 1.0), (0.03, 3.3, -2.5))  # amplitude, frequency, phase
WAVES_OF_Y = ((-0.4, 0.4, 0.0), (0.17, 1.3, 3.5), (0.02, 4.3, -2.5))


def normal_cdf(values: Tensor) -> Tensor:
    """Map standard normal features to uniform ones."""
    uniform: Tensor = torch.special.ndtr(values)
    return uniform


def half_cube(values: Tensor) -> Tensor:
    """Multiply each value by the root of its size. Tails become heavier, and the density is infinite at zero."""
    return values * values.abs().sqrt()


def asinh(values: Tensor) -> Tensor:
    """Map each value to its inverse hyperbolic sine, which shortens tails to logarithms of their lengths."""
    return values.asinh()


def wiggly(values: Tensor, waves: Sequence[tuple[float, float, float]]) -> Tensor:
    """Add waves of the given amplitudes, frequencies and phases, so flat that the map stays increasing."""
    assert sum(abs(amplitude * frequency) for amplitude, frequency, _ in waves) < 1
    return values + sum(amplitude * (frequency * values + phase).sin() for amplitude, frequency, phase in waves)


def bimodal(values: Tensor, weight: float, modes: tuple[float, float]) -> Tensor:
    """Map standard normal features to the mixture of N(modes[0], 1), of the given weight, and N(modes[1], 1).

    Inverts the mixture's distribution function by bisection.
    """
    target = normal_cdf(values)
    # A quantile of the mixture lies between the same quantiles of its parts.
    low, high = values + min(modes), values + max(modes)
    for _ in range(60):  # halves a bracket as wide as the modes' distance to the last bits of a double
        middle = (low + high) / 2
        below = weight * normal_cdf(middle - modes[0]) + (1 - weight) * normal_cdf(middle - modes[1]) < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def swiss_roll(values: Tensor) -> Tensor:
    """Roll a uniform variable, `(samples, 1)`, into a spiral of one and a half turns in the plane, `(samples, 2)`."""
    angle = 1.5 * math.pi * (1 + 2 * values)
    return torch.cat([angle * angle.cos(), angle * angle.sin()], dim=1) / 21


def spiral(values: Tensor, *, plane: tuple[int, int], speed: float) -> Tensor:
    """Rotate each sample in the plane of two features by `speed` radians per unit of its squared length."""
    angle = speed * values.square().sum(dim=1)
    first, second = values[:, plane[0]], values[:, plane[1]]
    rotated = values.clone()
    rotated[:, plane[0]] = angle.cos() * first - angle.sin() * second
    rotated[:, plane[1]] = angle.sin() * first + angle.cos() * second
    return rotated
