"""Labelled clouds in the plane, with known information and with spread and tightness that are set independently."""

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

_REACH = 8.0  # limit of the integrals, in standard deviations
_FINE = 0.1  # with bins below this share of a class's standard deviation, the entropy is exact to 1e-3 nats
Origin = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Isotropic Gaussian clusters of equal size, evenly spaced on a circle; each cluster is a class.

    Spread and tightness are independent. The variance per coordinate is `spread`^2 at any tightness. The share
    `tightness` of it lies between the clusters, and the rest within each cluster.

    Raises:
        ValueError: `spread` is not positive, there are fewer than two classes, `tightness` is outside [0, 1), or
            `purity` outside [0, 1].
    """

    spread: float  # standard deviation per coordinate, of all samples together
    tightness: float
    classes: int = 4
    purity: float = 1.0  # share of labels that are the cluster's; the others are drawn from all classes

    def __post_init__(self) -> None:
        check_positive(self.spread, name="spread")
        check_at_least(self.classes, 2, name="classes")
        if not 0 <= self.tightness < 1:
            raise ValueError(f"tightness must lie in [0, 1), got {self.tightness}")
        if not 0 <= self.purity <= 1:
            raise ValueError(f"purity must lie in [0, 1], got {self.purity}")

    @property
    def radius(self) -> float:
        """Radius of the circle of clusters. The variance between clusters per coordinate is half its square."""
        return self.spread * math.sqrt(2 * self.tightness)

    @property
    def within_variance(self) -> float:
        """Variance of a cluster along each coordinate."""
        return self.spread**2 * (1 - self.tightness)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centres of the clusters, `(classes, 2)`, around the origin."""
        angles = 2 * np.pi * np.arange(self.classes) / self.classes
        return self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def labelled_cloud(samples: int, cloud: Cloud, *, origin: Origin = (0.0, 0.0), generator: torch.Generator) -> LabelTask:
    """Draw points of a cloud, equally many of each cluster, as float64.

    Equal generators give the same draw of any cloud.

    All points are centred and scaled by one factor, so that their variance per coordinate is exactly `cloud.spread`^2,
    not only on average. So clouds that differ only in tightness have the same overall spread.

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
    """Information of a cloud's distribution, in nats."""

    input: float  # I(X;T), X the point and T the noisy or binned point
    label: float  # I(T;Y)


def cloud_information(cloud: Cloud, noise_variance: float = 0.0) -> CloudInformation:
    """Return the information of T = point + N(0, noise_variance I), to about 1e-6. Without noise I(X;T) is infinite.

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
    """Return H(Q) = I(X;Q) and I(Q;Y) for the bin numbers Q = floor(T / bin_width) of the points without noise.

    The probability of a cell is a product of two differences of normal distribution functions. If bins are narrower
    than a tenth of a cluster's standard deviation, H(Q) = h(T) - 2 ln(bin_width) and I(Q;Y) = I(T;Y), to 1e-3.

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
    """Return I(T;Y) of unit Gaussians on a circle of radius `ratio`. All clusters are alike, so one is integrated."""
    angles = 2 * np.pi * np.arange(classes) / classes
    shifts = ratio * (np.stack([np.cos(angles), np.sin(angles)]) - np.array([[1.0], [0.0]]))  # from the first cluster
    # For smooth functions that vanish fast at the ends, the trapezoid rule converges exponentially.
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
