"""Information of a discrete and of a continuous layer under noise or bins of any width, in closed form."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import simpson
from scipy.special import logsumexp, ndtr

from infoplane.checks import check_positive
from infoplane.estimators.tasks.pairs import PairTask


def entropy(probabilities: Sequence[float]) -> float:
    """Return the entropy -sum p ln p, in nats.

    Raises:
        ValueError: a probability is not positive, or they do not sum to 1.
    """
    _check_probabilities(probabilities)
    return -sum(p * math.log(p) for p in probabilities)


def step_layer(samples: int, probabilities: Sequence[float], *, generator: torch.Generator) -> PairTask:
    """Draw X ~ U(0, 1) and the discrete T = f(X), f a step function with levels 0, 1, 2 ... of given probabilities.

    T is a function of X and discrete, so I(X;T) = H(T).

    Raises:
        ValueError: a probability is not positive, or they do not sum to 1.
    """
    information = entropy(probabilities)
    x = torch.rand(samples, 1, generator=generator, dtype=torch.double, device=generator.device)
    stairs = torch.tensor(probabilities, dtype=torch.double, device=generator.device).cumsum(dim=0)[:-1]
    return PairTask(x, torch.searchsorted(stairs, x, right=True).double(), information)


def boxed_steps_information(probabilities: Sequence[float], width: float) -> float:
    """Return I(X;T) of `step_layer` with uniform noise within width / 2: exactly H(T) for any width up to 1.

    Wider boxes overlap. The density of T is then constant between the ends of boxes, so its entropy is a finite sum,
    less h(T|X) = ln(width).

    Raises:
        ValueError: `width` is not positive, or the probabilities are invalid.
    """
    check_positive(width, name="width")
    _check_probabilities(probabilities)
    if width <= 1:
        return entropy(probabilities)
    levels = np.arange(len(probabilities))
    ends = np.unique(np.concatenate([levels - width / 2, levels + width / 2]))
    middles = (ends[1:] + ends[:-1]) / 2
    within = np.abs(middles[:, None] - levels) < width / 2
    density = within @ np.asarray(probabilities) / width
    return float(-(np.diff(ends) * density * np.log(density)).sum() - math.log(width))


def noisy_steps_information(probabilities: Sequence[float], noise_variance: float) -> float:
    """Return I(X;T) of `step_layer` with Gaussian noise, to 1e-9. Its limit without noise is H(T).

    Raises:
        ValueError: `noise_variance` is not positive, or the probabilities are invalid.
    """
    check_positive(noise_variance, name="noise_variance")
    _check_probabilities(probabilities)
    levels = np.arange(len(probabilities)) / math.sqrt(noise_variance)
    normal = np.linspace(-10, 10, 2001)
    weights = np.exp(-(normal**2) / 2)
    weights /= weights.sum()
    total = 0.0
    for level, probability in zip(levels, probabilities, strict=True):
        shifts = levels - level
        log_ratio = logsumexp(normal[:, None] * shifts - shifts**2 / 2, axis=1, b=np.asarray(probabilities))
        total -= probability * float(weights @ log_ratio)
    return total


def binned_steps_information(probabilities: Sequence[float], bin_width: float) -> float:
    """Return H(Q) of `step_layer` in bins. Levels in the same bin are merged.

    Raises:
        ValueError: `bin_width` is not positive, or the probabilities are invalid.
    """
    check_positive(bin_width, name="bin_width")
    _check_probabilities(probabilities)
    bins = np.floor(np.arange(len(probabilities)) / bin_width)
    shared = [float(np.asarray(probabilities)[bins == one].sum()) for one in np.unique(bins)]
    return -sum(p * math.log(p) for p in shared)


def boxed_uniform_entropy(width: float) -> float:
    """Return h(T) of T = X + uniform noise within width / 2, X ~ U(0, 1): the entropy of a symmetric trapezium.

    With s the smaller and l the larger of 1 and width, the density is 1 / l over a length of l - s and falls to 0 over
    a length of s at either side: h(T) = ln(l) + s / (2 l).

    Raises:
        ValueError: `width` is not positive.
    """
    check_positive(width, name="width")
    smaller, larger = min(1.0, width), max(1.0, width)
    return math.log(larger) + smaller / (2 * larger)


def boxed_uniform_information(width: float) -> float:
    """Return I(X;T) = h(T) - ln(width) for T of `boxed_uniform_entropy`.

    It is width / 2 - ln(width) up to a width of 1, and 1 / (2 width) beyond. As the width goes to 0, h(T|X) = ln(width)
    goes to minus infinity and h(T) stays finite, so the information has no limit.

    Raises:
        ValueError: `width` is not positive.
    """
    return boxed_uniform_entropy(width) - math.log(width)


def noisy_uniform_information(noise_variance: float) -> float:
    """Return I(X;T) of X ~ U(0, 1) with Gaussian noise, to 1e-9.

    Raises:
        ValueError: `noise_variance` is not positive.
    """
    check_positive(noise_variance, name="noise_variance")
    deviation = math.sqrt(noise_variance)
    # The density is symmetric about 1/2. Farther than ten deviations from the ends it is 1 and adds no entropy.
    line = np.linspace(-10 * deviation, min(10 * deviation, 0.5), 8001)
    density = ndtr(line / deviation) - ndtr((line - 1) / deviation)
    terms = -density * np.log(np.maximum(density, 1e-300))
    return float(2 * simpson(terms, x=line)) - 0.5 * math.log(2 * math.pi * math.e * noise_variance)


def binned_uniform_information(bin_width: float) -> float:
    """Return H(Q) of X ~ U(0, 1) in bins that start at 0: ln(1 / bin_width) if whole bins fill the interval.

    Raises:
        ValueError: `bin_width` is not positive.
    """
    check_positive(bin_width, name="bin_width")
    whole = math.floor(1 / bin_width)
    rest = 1 - whole * bin_width
    return -whole * bin_width * math.log(bin_width) - (rest * math.log(rest) if rest > 0 else 0.0)


def _check_probabilities(probabilities: Sequence[float]) -> None:
    if not all(p > 0 for p in probabilities) or not math.isclose(sum(probabilities), 1):
        raise ValueError(f"probabilities must be positive and sum to 1, got {list(probabilities)}")
