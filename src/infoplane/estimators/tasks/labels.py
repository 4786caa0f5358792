"""Label tasks: layers with labels, with known I(T;Y)."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infoplane.checks import check_at_least, check_positive
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class LabelTask(NamedTuple):
    """Samples of a layer with labels, and the information between the two that the distribution has.

    Attributes:
        activations: `(samples, features)` float32.
        labels: `(samples,)` int64.
        information: I(T;Y) of the distribution, in nats.
    """

    activations: Tensor
    labels: Tensor
    information: float


def labelled_gaussians(
    samples: int, features: int, *, spread: float, classes: int = 10, generator: torch.Generator
) -> LabelTask:
    """Draw Y uniform over the classes and T|y ~ N(spread e_y, I), e_y the unit vectors of the first features.

    The other features are noise, so the information is the same in any dimension. The task shows how an estimator
    depends on the dimension alone.

    Raises:
        ValueError: fewer features than classes, fewer than one sample or two classes, or `spread` not positive.
    """
    check_at_least(samples, 1, name="samples")
    information = labelled_gaussian_information(spread, classes)
    check_at_least(features, classes, name="features")
    labels = torch.randint(classes, (samples,), generator=generator, device=generator.device)
    activations = torch.randn(samples, features, generator=generator, device=generator.device)
    activations[torch.arange(samples, device=generator.device), labels] += spread
    return LabelTask(activations, labels, information)


@cache  # every draw of a task needs the same value, which takes tens of milliseconds
def labelled_gaussian_information(spread: float, classes: int = 10) -> float:
    """Return I(T;Y), in nats, of `labelled_gaussians`, to about 1e-9.

    With l_k = a t_k - a^2/2 the log density of class k over that of pure noise, I = ln K + E[l_y] - E ln sum_k e^l_k,
    and E[l_y] = a^2/2. Frullani's integral, ln x = int_0^inf (e^-s - e^-sx) ds/s, turns the last term's expectation
    over K dimensions into products of expectations over one:
    E e^(-s sum) = psi(s) phi(s)^(K-1), psi for the sample's own class and phi for each other.

    Raises:
        ValueError: `spread` is not positive and finite, or there are fewer than two classes.
    """
    check_positive(spread, name="spread")
    check_at_least(classes, 2, name="classes")
    # Both integrands are smooth and vanish fast at the ends, so the trapezoid rule converges exponentially.
    normal = np.linspace(-10, 10, 401)
    density = np.exp(-(normal**2) / 2)
    density /= density.sum()
    reach, step = 12 * spread + spread**2 + 40, 0.05
    log_s = np.arange(-reach, reach, step)
    exponents = np.zeros((2, len(log_s)))
    for row, mean in zip(exponents, (spread**2 / 2, -(spread**2) / 2), strict=True):
        for point, weight in zip(normal, density, strict=True):
            row += weight * np.exp(-np.exp(np.minimum(log_s + spread * point + mean, 50)))
    own, other = exponents
    log_sum = step * (np.exp(-np.exp(np.minimum(log_s, 50))) - own * other ** (classes - 1)).sum()
    return float(math.log(classes) + spread**2 / 2 - log_sum)


def noisy_labels(
    samples: int, features: int, *, flip: float, classes: int = 10, generator: torch.Generator
) -> LabelTask:
    """Draw a class that the layer determines, and a label that is another class with probability `flip`.

    T = e_class + uniform noise within 1/4 of zero in each feature, so that the classes never overlap.

    Raises:
        ValueError: fewer features than classes, fewer than one sample or two classes, or `flip` outside [0, 1].
    """
    check_at_least(samples, 1, name="samples")
    information = symmetric_channel_information(flip, classes)
    check_at_least(features, classes, name="features")
    device = generator.device
    shown = torch.randint(classes, (samples,), generator=generator, device=device)
    activations = torch.rand(samples, features, generator=generator, device=device) / 2 - 0.25
    activations[torch.arange(samples, device=device), shown] += 1
    return LabelTask(activations, flipped(shown, flip, classes, generator), information)


def flipped(labels: Tensor, flip: float, classes: int, generator: torch.Generator) -> Tensor:
    """Send labels through a symmetric channel: each becomes any other class with probability flip / (classes - 1)."""
    chosen = torch.rand(labels.shape, generator=generator, device=labels.device, dtype=torch.double) < flip
    steps = torch.randint(1, classes, labels.shape, generator=generator, device=labels.device)
    return (labels + chosen * steps) % classes


def symmetric_channel_information(flip: float, classes: int) -> float:
    """Return ln K - H(flip) - flip ln(K - 1), the information in nats of a symmetric channel with uniform input.

    Raises:
        ValueError: `flip` outside [0, 1] or fewer than two classes.

    Source: Cover & Thomas (2006), Elements of Information Theory, Section 7.2.
    """
    check_at_least(classes, 2, name="classes")
    if not 0 <= flip <= 1:
        raise ValueError(f"flip must lie in [0, 1], got {flip}")
    doubt = -sum(p * math.log(p) for p in (flip, 1 - flip) if p > 0)
    return math.log(classes) - doubt - flip * math.log(classes - 1)
