"""Pair tasks: pairs of variables, with known I(X;Y)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from scipy.special import digamma, gammaln
from torch import Tensor

from infoplane.checks import check_at_least, check_positive
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class PairTask(NamedTuple):
    """Samples of a pair of variables, and the information between the two that the distribution has.

    Attributes:
        x: `(samples, p)` float64; images are float32.
        y: `(samples, q)`.
        information: I(X;Y) of the distribution, in nats.
    """

    x: Tensor
    y: Tensor
    information: float


def correlated_normals(samples: int, correlations: Sequence[float], *, generator: torch.Generator) -> PairTask:
    """Draw standard normal X and Y whose i-th features correlate by `correlations[i]`; other features are independent.

    I(X;Y) = -1/2 sum ln(1 - r_i^2). Correlations of 0 add independent features.

    Raises:
        ValueError: fewer than one sample or correlation, or a correlation outside (-1, 1).

    Source: Czyz et al. (2023), Beyond Normal, arXiv:2306.11078, Section 3.
    """
    check_at_least(samples, 1, name="samples")
    information = _canonical_information(correlations)
    x, noise = _normals(2, samples, len(correlations), generator)
    shared = torch.tensor(correlations, dtype=torch.double, device=generator.device)
    return PairTask(x, shared * x + (1 - shared.square()).sqrt() * noise, information)


def equicorrelated_normals(samples: int, features: int, *, correlation: float, generator: torch.Generator) -> PairTask:
    """Draw standard normal X and Y of `features` each, with the same `correlation` between any two of all features.

    With m = features and r = correlation, the determinants of X, of Y and of both give
    I(X;Y) = 1/2 ln[(1 + (m - 1) r)^2 / ((1 - r)(1 + (2 m - 1) r))].

    Raises:
        ValueError: fewer than one sample or feature, or `correlation` outside [0, 1).

    Source: Czyz et al. (2023), Beyond Normal, arXiv:2306.11078, Section 3 ("dense" interactions).
    """
    check_at_least(samples, 1, name="samples")
    check_at_least(features, 1, name="features")
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must lie in [0, 1), got {correlation}")
    (common,) = _normals(1, samples, 1, generator)
    x, y = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * _normals(2, samples, features, generator)
    information = math.log1p((features - 1) * correlation) - 0.5 * (
        math.log1p(-correlation) + math.log1p((2 * features - 1) * correlation)
    )
    return PairTask(x, y, information)


def student_pairs(samples: int, correlations: Sequence[float], *, degrees: int, generator: torch.Generator) -> PairTask:
    """Draw (X, Y) jointly Student-t: `correlated_normals` divided by one common factor for all their features.

    The factor makes X and Y depend on each other even with correlations of 0. With p features each, v degrees of
    freedom and f(n) = ln Gamma(n/2) - n/2 psi(n/2), the information is that of the normals plus
    f(v) + f(v + 2p) - 2 f(v + p).

    Raises:
        ValueError: fewer than one sample, correlation or degree, or a correlation outside (-1, 1).

    Source: Czyz et al. (2023), Beyond Normal, arXiv:2306.11078, Section 3; Arellano-Valle, Contreras-Reyes & Genton
    (2013), Scandinavian Journal of Statistics 40(1), for the entropy of a Student-t vector.
    """
    check_at_least(degrees, 1, name="degrees")
    normals = correlated_normals(samples, correlations, generator=generator)
    (squares,) = _normals(1, samples, degrees, generator).square()
    factor = (squares.mean(dim=1, keepdim=True)).sqrt()
    p = len(correlations)
    heavy = _student_term(degrees) + _student_term(degrees + 2 * p) - 2 * _student_term(degrees + p)
    return PairTask(normals.x / factor, normals.y / factor, normals.information + heavy)


def uniform_noise(samples: int, *, reach: float, generator: torch.Generator) -> PairTask:
    """Draw X ~ U(0, 1) and Y = X + U(-reach, reach).

    I(X;Y) = h(Y) - ln(2 reach), and the density of Y is a trapezium. So I(X;Y) is reach - ln(2 reach) up to a reach
    of 1/2, and 1 / (4 reach) beyond.

    Raises:
        ValueError: fewer than one sample, or `reach` not positive.

    Source: Czyz et al. (2023), Beyond Normal, arXiv:2306.11078, Section 3 ("additive noise").
    """
    check_at_least(samples, 1, name="samples")
    check_positive(reach, name="reach")
    x, noise = _uniforms(2, samples, generator)
    information = reach - math.log(2 * reach) if reach <= 0.5 else 1 / (4 * reach)
    return PairTask(x, x + reach * (2 * noise - 1), information)


def discrete_with_uniform_noise(samples: int, *, values: int, generator: torch.Generator) -> PairTask:
    """Draw X uniform over 0 .. values - 1, as floats, and Y = X + U(0, 2): a discrete variable and a continuous one.

    Each Y may come from two X, except in the first and the last unit interval. With m = values,
    I(X;Y) = ln m - (m - 1)/m ln 2.

    Raises:
        ValueError: fewer than one sample or value.

    Source: Gao et al. (2017), Estimating Mutual Information for Discrete-Continuous Mixtures, arXiv:1709.06212, its
    simulation with discrete X and continuous Y.
    """
    check_at_least(samples, 1, name="samples")
    check_at_least(values, 1, name="values")
    x = torch.randint(values, (samples, 1), generator=generator, device=generator.device).double()
    (noise,) = _uniforms(1, samples, generator)
    return PairTask(x, x + 2 * noise, math.log(values) - (values - 1) / values * math.log(2))


def mapped(task: PairTask, of_x: Callable[[Tensor], Tensor], of_y: Callable[[Tensor], Tensor]) -> PairTask:
    """Apply an injective map to X and one to Y, which does not change their information."""
    return PairTask(of_x(task.x), of_y(task.y), task.information)


def _canonical_information(correlations: Sequence[float]) -> float:
    check_at_least(len(correlations), 1, name="number of correlations")
    if outside := [r for r in correlations if not -1 < r < 1]:
        raise ValueError(f"correlations must lie in (-1, 1), got {outside}")
    return -0.5 * sum(math.log1p(-(r**2)) for r in correlations)


def _student_term(n: int) -> float:
    return float(gammaln(n / 2) - n / 2 * digamma(n / 2))


def _normals(count: int, samples: int, features: int, generator: torch.Generator) -> Tensor:
    shape = (count, samples, features)
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.double)


def _uniforms(count: int, samples: int, generator: torch.Generator) -> Tensor:
    return torch.rand((count, samples, 1), generator=generator, device=generator.device, dtype=torch.double)
