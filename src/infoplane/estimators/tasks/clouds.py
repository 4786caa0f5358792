"""Labelled clouds in the plane whose spread and whose classes' tightness are set apart, of known information."""

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from infoplane.checks import check_at_least, check_positive
from infoplane.estimators.tasks.labels import LabelTask

_REACH = 8.0  # standard deviations that the integrals go to
_FINE = 0.1  # bins this much narrower than a class's standard deviation change the entropy by less than 1e-3 nats
Origin = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Isotropic Gaussian clusters of equal size, evenly around a circle, each a class.

    Spread and tightness are independent: the variance per coordinate is `spread`^2 at any tightness, of which the
    share `tightness` lies between the clusters and the rest within each.

    Raises:
        ValueError: `spread` is not positive, there are fewer than two classes, `tightness` is outside [0, 1), or
            `purity` outside [0, 1].
    """

    spread: float  # standard deviation per coordinate, of all samples together
    tightness: float
    classes: int = 4
    purity: float = 1.0  # share of labels that tell the cluster; the others are drawn from all classes

    def __post_init__(self) -> None:
        check_positive(self.spread, name="spread")
        check_at_least(self.classes, 2, name="classes")
        if not 0 <= self.tightness < 1:
            raise ValueError(f"tightness must lie in [0, 1), got {self.tightness}")
        if not 0 <= self.purity <= 1:
            raise ValueError(f"purity must lie in [0, 1], got {self.purity}")

    @property
    def radius(self) -> float:
        """Of the circle of clusters: two coordinates share its square."""
        return self.spread * math.sqrt(2 * self.tightness)

    @property
    def within_variance(self) -> float:
        """Variance of a cluster along each coordinate."""
        return self.spread**2 * (1 - self.tightness)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Of the clusters, `(classes, 2)`, about the origin."""
        angles = 2 * np.pi * np.arange(self.classes) / self.classes
        return self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def labelled_cloud(samples: int, cloud: Cloud, *, origin: Origin = (0.0, 0.0), generator: torch.Generator) -> LabelTask:
    """Draw points of a cloud, clusters in equal numbers, as float64; equal generators give the same draw of any cloud.

    The points are centred and scaled, all by one factor, so that their variance per coordinate is `cloud.spread`^2
    exactly, not only on average: clouds that differ in tightness alone then have the same overall spread.

    Args:
        samples: at least the number of classes.
        cloud: what is drawn.
        origin: the mean of all points.
        generator: on the CPU.

    Raises:
        ValueError: fewer samples than classes.
    """
    check_at_least(samples, cloud.classes, name="samples")
    clusters = torch.arange(samples) % cloud.classes
    noise = torch.randn(samples, 2, generator=generator, dtype=torch.double)
    doubts = torch.rand(samples, generator=generator, dtype=torch.double)
    others = torch.randint(cloud.classes, (samples,), generator=generator)
    points = torch.from_numpy(cloud.centres)[clusters] + math.sqrt(cloud.within_variance) * noise
    points -= points.mean(dim=0)
    points *= cloud.spread / points.square().mean().sqrt()
    labels = torch.where(doubts < cloud.purity, clusters, others)
    return LabelTask(points + torch.tensor(origin, dtype=torch.double), labels, cloud_information(cloud).label)


class CloudInformation(NamedTuple):
    """Of the distribution, in nats."""

    input: float  # I(X;T), X the point and T what is seen of it
    label: float  # I(T;Y)


def cloud_information(cloud: Cloud, noise_variance: float = 0.0) -> CloudInformation:
    """Information in T = point + N(0, noise_variance I), to about 1e-6; without noise I(X;T) is infinite.

    T is a mixture of Gaussians of variance s^2 = within_variance + noise_variance. I(T; cluster) is one integral over
    a cluster, I(X;T) = I(T; cluster) + ln(s^2 / noise_variance), and a label of purity q has
    p(y|t) = q p(cluster y|t) + (1 - q) / classes.

    Raises:
        ValueError: `noise_variance` is negative or not finite.
    """
    if not 0 <= noise_variance < math.inf:
        raise ValueError(f"noise_variance must be finite and not negative, got {noise_variance}")
    variance = cloud.within_variance + noise_variance
    ratio = cloud.radius / math.sqrt(variance)
    clusters = _label_information(ratio, cloud.classes, 1.0)
    within = math.log(variance / noise_variance) if noise_variance else math.inf
    return CloudInformation(clusters + within, _label_information(ratio, cloud.classes, cloud.purity))


def binned_cloud_information(cloud: Cloud, bin_width: float, *, origin: Origin = (0.0, 0.0)) -> CloudInformation:
    """Information in the bin numbers Q = floor(T / bin_width) of the points themselves: H(Q) = I(X;Q), and I(Q;Y).

    The mass of a cell is a product of two differences of normal distributions. Where bins are narrower than a tenth of
    a cluster's standard deviation, H(Q) = h(T) - 2 ln(bin_width) and I(Q;Y) = I(T;Y), to 1e-3.

    Raises:
        ValueError: `bin_width` is not positive.
    """
    check_positive(bin_width, name="bin_width")
    deviation = math.sqrt(cloud.within_variance)
    clusters = _label_information(cloud.radius / deviation, cloud.classes, 1.0)
    if bin_width < _FINE * deviation:
        entropy = clusters + math.log(2 * math.pi * math.e * cloud.within_variance)
        return CloudInformation(entropy - 2 * math.log(bin_width), cloud_information(cloud).label)
    reach = cloud.radius + _REACH * deviation
    masses = [
        np.outer(*(_bin_masses(middle, deviation, bin_width, low - reach, low + reach) for middle, low in axes))
        for axes in (zip(centre + np.array(origin), origin, strict=True) for centre in cloud.centres)
    ]
    whole: NDArray[np.float64] = np.mean(masses, axis=0)
    labelled = [cloud.purity * mass + (1 - cloud.purity) * whole for mass in masses]
    entropy = _entropy(whole)
    return CloudInformation(entropy, entropy - sum(map(_entropy, labelled)) / cloud.classes)


def _bin_masses(middle: float, deviation: float, width: float, low: float, high: float) -> NDArray[np.float64]:
    edges = width * np.arange(math.floor(low / width), math.ceil(high / width) + 1)
    masses: NDArray[np.float64] = np.diff(ndtr((edges - middle) / deviation))
    return masses


def _entropy(masses: NDArray[np.float64]) -> float:
    positive = masses[masses > 0]
    return float(-(positive * np.log(positive)).sum())


@cache
def _label_information(ratio: float, classes: int, purity: float) -> float:
    """I(T;Y) of unit Gaussians around a circle of radius `ratio`; all clusters give the same, so one is integrated."""
    angles = 2 * np.pi * np.arange(classes) / classes
    shifts = ratio * (np.stack([np.cos(angles), np.sin(angles)]) - np.array([[1.0], [0.0]]))  # from the first cluster
    # Smooth and vanishing fast at the ends, where the trapezoid rule converges exponentially.
    line = np.linspace(-_REACH, _REACH, 321)
    weights = np.exp(-(line**2) / 2)
    weights /= weights.sum()
    squares = (shifts**2).sum(axis=0)
    exponents = line[:, None, None] * shifts[0] + line[None, :, None] * shifts[1] - squares / 2
    log_shares = exponents - logsumexp(exponents, axis=2, keepdims=True)  # ln p(cluster|t)
    doubt = (1 - purity) / classes
    total = 0.0
    for label in range(classes):
        given_cluster = purity * (label == 0) + doubt  # p(label | first cluster)
        if given_cluster > 0:
            log_posterior = (
                log_shares[..., label] if doubt == 0 else np.log(purity * np.exp(log_shares[..., label]) + doubt)
            )
            total += given_cluster * float(weights @ (math.log(classes) + log_posterior) @ weights)
    return total
