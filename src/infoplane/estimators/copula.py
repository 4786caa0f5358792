"""Gaussian copula estimator: information between two layers, right for Gaussian dependence with any margins."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from torch import Tensor

from infoplane.checks import check_activations
from infoplane.estimators.estimate import Estimate
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, PAIR_INFORMATION, POPULATION

Array = NDArray[np.float64]
RANK_TOLERANCE = 1e-8  # singular values below this part of the largest are rounding errors
DETERMINED = 1e-12  # a canonical variate with less remaining variance, given the other, is determined by it


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class CopulaInformation(Estimate):
    """I(X;Y), in nats, and the canonical correlations it comes from.

    The correlations are those of the sample, in descending order. Many features bias them towards 1; only the
    information is corrected for that. If one layer determines a direction of the other, the information is infinite
    and its error NaN.
    """

    error: float
    correlations: tuple[float, ...]


def copula_information(x: Tensor, y: Tensor) -> CopulaInformation:
    """Estimate I(X;Y) of two layers under a Gaussian copula, from the correlations of their units' ranks.

    Each unit is replaced by its normal scores, the normal quantiles of rank / (N + 1), which do not change under
    increasing maps of a unit. Equal activations share their mean rank. Constant units, and linear combinations of other
    units, are left out. With the canonical correlations r_k of the scores, the plug-in estimate is
    -1/2 sum ln(1 - r_k^2). Its bias, known exactly for normal scores, is subtracted, so values of unrelated layers
    scatter around 0 and can be negative.

    The error is that of the delete-one jackknife, in closed form from leverages. It is conservative for many features.
    The error is never smaller than the exact spread for unrelated layers, which the jackknife misses for few features.
    If the dependence is not Gaussian, or with many ties, the value is the information of a Gaussian with the same
    correlations: neither a bound of I(X;Y) nor consistent.

    The two layers together must have at most N - 2 independent units. Shrinkage of the correlations would allow more,
    but the values would be wrong: unrelated layers of 300 correlated units each gave 12 nats at N = 300 under the
    analytic shrinkage of Schaefer & Strimmer (2005). `cca_information` uses shrinkage, and finds its directions on
    other samples than it evaluates.

    Args:
        x: `(samples, features)`, finite, float16 to float64, on CPU or CUDA.
        y: `(samples, other features)`, likewise, of the same samples.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Ince et al. (2017), Human Brain Mapping 38, 1541, "Gaussian-copula mutual information" and its bias
    correction; bias of log determinants: Misra, Singh & Demchuk (2005), J. Multivariate Anal. 92, 324; the
    jackknife errs on the large side: Efron & Stein (1981), Ann. Statist. 9, 586.
    """
    check_activations(x, name="x")
    check_activations(y, name="y")
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same samples, got {len(x)} in x and {len(y)} in y")
    scores = (normal_scores(part.detach().cpu().double(), part.detach().cpu().double()).numpy() for part in (x, y))
    return gaussian_information(*scores)


def gaussian_information(x: Array, y: Array) -> CopulaInformation:
    """Estimate I(X;Y) as `copula_information` does, from centred columns that are assumed to be normal."""
    samples = len(x)
    basis_x, basis_y = _basis(x), _basis(y)
    units = basis_x.shape[1], basis_y.shape[1]
    if sum(units) > max(samples - 2, 0):
        raise ValueError(
            f"x and y must together have at most samples - 2 = {samples - 2} independent units, got {units[0]} and "
            f"{units[1]}; use cca_information, or reduce them first"
        )
    if 0 in units:
        return _result(0.0, 0.0, ())

    left, correlations, right = np.linalg.svd(basis_x.T @ basis_y, full_matrices=False)
    shown = tuple(correlations.tolist())
    unexplained = 1 - correlations**2
    if unexplained.min() < DETERMINED:
        return _result(math.inf, math.nan, shown)
    information = -0.5 * np.log(unexplained).sum() - _bias(samples, *units)
    jackknife = _jackknife_error(basis_x, basis_y, basis_x @ left, basis_y @ right.T, correlations)
    error = max(jackknife, _unrelated_spread(samples, *units))
    return _result(float(information), error, shown)


def _result(value: float, error: float, correlations: tuple[float, ...]) -> CopulaInformation:
    return CopulaInformation(
        quantity=PAIR_INFORMATION,
        kind=ESTIMATE,
        distribution=POPULATION,
        estimator="copula",
        value=value,
        error=error,
        correlations=correlations,
    )


def normal_scores(values: Tensor, reference: Tensor) -> Tensor:
    """Replace each unit by normal quantiles of its ranks among the reference samples, centred on these.

    A rank is 1/2 plus the number of smaller reference values plus half the number of equal ones. For the reference
    samples this is the mean rank of equal values, for other samples the position where they would be inserted.
    """
    ascending = reference.T.contiguous().sort(dim=1).values.contiguous()

    def scores(samples: Tensor) -> Tensor:
        columns = samples.T.contiguous()
        below, up_to = (torch.searchsorted(ascending, columns, right=right) for right in (False, True))
        quantiles: Tensor = torch.special.ndtri((below + up_to + 1).double() / (2 * (len(reference) + 1)))
        return quantiles.T

    return scores(values) - scores(reference).mean(dim=0)


def _basis(scores: Array) -> Array:
    """Return an orthonormal basis of the columns of centred scores, `(samples, independent units)`."""
    left, values, _ = np.linalg.svd(scores, full_matrices=False)
    basis: Array = left[:, values > RANK_TOLERANCE * values.max(initial=1e-300)]
    return basis


def _bias(samples: int, x_units: int, y_units: int) -> float:
    """Return the bias of the plug-in estimate for normal samples. It does not depend on the information.

    With n = N - 1 degrees of freedom, the expected log determinant of a covariance matrix of d units exceeds its
    true one by sum_{j < d} psi((n - j) / 2) + d ln(2 / n); the second terms cancel.
    """
    determinants = [digamma(freedom / 2).sum() for freedom in _freedoms(samples, x_units, y_units)]
    return float(0.5 * (determinants[0] + determinants[1] - determinants[2]))


def _unrelated_spread(samples: int, x_units: int, y_units: int) -> float:
    """Return the standard deviation of the estimate for normal samples whose information is 0.

    Then exp(-2 estimate) is Wilks' Lambda up to a factor, a product of beta variables. The variances of their
    logarithms are differences of trigamma functions.
    """
    variances = [polygamma(1, freedom / 2).sum() for freedom in _freedoms(samples, x_units, y_units)]
    return math.sqrt(variances[2] - variances[0] - variances[1]) / 2


def _freedoms(samples: int, x_units: int, y_units: int) -> list[Array]:
    """Return the degrees of freedom N - 1 - j of each unit, given those before, in x, in y and in both together."""
    return [samples - 1 - np.arange(units, dtype=np.float64) for units in (x_units, y_units, x_units + y_units)]


def _jackknife_error(basis_x: Array, basis_y: Array, variates_x: Array, variates_y: Array, r: Array) -> float:
    """Return the jackknife's standard error, from the plug-in estimates that leave out one sample each.

    Without sample i, the scatter matrix S of N centred samples becomes S - N / (N - 1) z_i z_i^T. Its determinant is
    det(S) (1 - N / (N - 1) h_i), with the leverage h_i = z_i^T S^-1 z_i. This holds for each of the three determinants
    of the information. The joint leverage comes from the pairs of canonical variates u, v:
    h_x + h_y + sum_k [(u_k^2 + v_k^2 - 2 r_k u_k v_k) / (1 - r_k^2) - u_k^2 - v_k^2].
    """
    samples = len(basis_x)
    leverage_x, leverage_y = (np.square(basis).sum(axis=1) for basis in (basis_x, basis_y))
    squares, products = variates_x**2 + variates_y**2, variates_x * variates_y
    joint = leverage_x + leverage_y + ((squares * r**2 - 2 * r * products) / (1 - r**2)).sum(axis=1)
    remaining = 1 - samples / (samples - 1) * np.stack([leverage_x, leverage_y, joint])
    # If one sample alone spans a direction, the estimate without that sample is not finite, nor is the error.
    with np.errstate(divide="ignore", invalid="ignore"):
        change = 0.5 * np.array([1, 1, -1]) @ np.log(remaining)
        variance = (samples - 1) / samples * np.square(change - change.mean()).sum()
    return math.sqrt(variance) if np.isfinite(variance) else math.inf
