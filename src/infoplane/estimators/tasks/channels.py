"""Channel tasks: layers observed through Gaussian noise, with known information."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_at_least, check_positive
from infoplane.estimators.tasks.labels import labelled_gaussian_information, labelled_gaussians
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class ChannelTask(NamedTuple):
    """Samples of a layer X with labels Y, and what T = X + N(0, noise_variance I) knows of both.

    Attributes:
        activations: `(samples, features)` float32.
        labels: `(samples,)` int64.
        noise_variance: in squared activation units.
        information: I(X;T) of the distribution that the activations come from, in nats.
        label_information: I(T;Y) of the distribution, in nats.
    """

    activations: Tensor
    labels: Tensor
    noise_variance: float
    information: float
    label_information: float


def point_clusters(
    samples: int, features: int, *, distance: float, classes: int = 2, generator: torch.Generator
) -> ChannelTask:
    """Draw one of `classes` points, all `distance` apart, observed through noise of variance 1.

    Two points are the Gaussian channel with binary input. Points far apart have an information of ln(classes). Label
    and input are the same choice, so both informations are equal.

    Raises:
        ValueError: fewer features than classes, fewer than one sample or two classes, or `distance` not positive.
    """
    check_at_least(samples, 1, name="samples")
    check_positive(distance, name="distance")
    spread = distance / math.sqrt(2)  # each point lies on its own feature's axis, this far from the origin
    information = labelled_gaussian_information(spread, classes)
    check_at_least(features, classes, name="features")
    device = generator.device
    labels = torch.randint(classes, (samples,), generator=generator, device=device)
    activations = torch.zeros(samples, features, device=device)
    activations[torch.arange(samples, device=device), labels] = spread
    return ChannelTask(activations, labels, 1.0, information, information)


def gaussian_channel(samples: int, features: int, *, power: float, generator: torch.Generator) -> ChannelTask:
    """Draw X ~ N(0, power I), observed through noise of variance 1, and independent labels of ten classes.

    I(X;T) = features / 2 ln(1 + power) is the capacity of the channel.

    Raises:
        ValueError: fewer than one sample or feature, or `power` not positive.

    Source: Cover & Thomas (2006), Elements of Information Theory, Section 9.4.
    """
    check_at_least(samples, 1, name="samples")
    check_at_least(features, 1, name="features")
    check_positive(power, name="power")
    device = generator.device
    activations = math.sqrt(power) * torch.randn(samples, features, generator=generator, device=device)
    labels = torch.randint(10, (samples,), generator=generator, device=device)
    return ChannelTask(activations, labels, 1.0, features / 2 * math.log1p(power), 0.0)


def noisy_labelled_gaussians(
    samples: int, features: int, *, spread: float, noise_variance: float, generator: torch.Generator
) -> ChannelTask:
    """Draw `labelled_gaussians` of ten classes, observed through noise.

    The noise widens each class to the variance 1 + noise_variance, so I(T;Y) is that of classes which are closer by the
    root of this factor. I(X;T) = I(T;Y) + I(X;T|Y), and the second term is that of a Gaussian channel.

    Raises:
        ValueError: fewer than one sample or ten features, or `spread` or `noise_variance` not positive.
    """
    check_positive(noise_variance, name="noise_variance")
    task = labelled_gaussians(samples, features, spread=spread, generator=generator)
    label_information = labelled_gaussian_information(spread / math.sqrt(1 + noise_variance))
    within = features / 2 * math.log1p(1 / noise_variance)
    return ChannelTask(task.activations, task.labels, noise_variance, label_information + within, label_information)
