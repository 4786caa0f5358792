"""Information of a layer at the network's own noise: each example's output is a Gaussian with a variance of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels, check_positive
from infoplane.estimators.diagonal_gaussians import bhattacharyya_distances, log_ratios
from infoplane.estimators.distinct_rows import checked_groups, multiplicity_entropy, pair_identities
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import feature_pieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.kde import (
    BHATTACHARYYA,
    KULLBACK_LEIBLER,
    LABEL_KINDS,
    kde_estimate,
    kde_information,
)
from infoplane.estimators.noisy import NoisyEstimate, noisy_from_terms, noisy_information
from infoplane.estimators.noisy_mixture import Mixture, MixtureSamples, MixtureTerms, halves
from infoplane.estimators.nulls import label_permutations, null_from
from infoplane.estimators.precision import exact_products
from infoplane.estimators.row_products import SharedPieces
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import (
    ESTIMATE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    LOWER,
    POPULATION,
    RATE,
    UPPER,
)

_ROWS = 1024  # examples at a time, so that wide layers need no second copy
LARGEST_COVARIANCE = 1024  # units; with more, the Gaussian ceiling takes them as uncorrelated, which makes it higher
LARGEST_RATIO = 1e10  # of the total variance of means to that of the noise, likewise


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class OwnNoiseInformation:
    """I(X;T) and I(T;Y) of T given x_i ~ N(means_i, diag(variances_i)), in nats.

    All are about the mixture of these examples' Gaussians, but for `rate`. In expectation over the noise,
    `input_lower` <= `input` <= `input_upper`, and `input` <= `rate`. `input_upper` may exceed `rate`.

    Attributes:
        input, label: Monte Carlo estimates, as in `NoisyInformation`.
        rate: see `variational_rate`.
        input_upper, label_upper: by the Kullback-Leibler divergence, as in `KDEInformation`.
        input_lower, label_lower, label_lower_bound, label_upper_bound: by the Bhattacharyya distance, as in
            `KDEInformation`; None if they were left out.
        gaussian_ceiling: I(X;T) cannot exceed it: it is that of a Gaussian with the covariance of T.
    """

    input: NoisyEstimate
    label: NoisyEstimate
    rate: Estimate
    input_upper: Estimate
    label_upper: Estimate
    input_lower: Estimate | None
    label_lower: Estimate | None
    label_lower_bound: Estimate | None
    label_upper_bound: Estimate | None
    gaussian_ceiling: float

    def estimates(self) -> tuple[Estimate, ...]:
        """Return all estimates."""
        found = (getattr(self, field.name) for field in fields(self))
        return tuple(one for one in found if isinstance(one, Estimate))


def own_noise_information(
    means: Tensor,
    variances: Tensor | float,
    labels: Tensor,
    *,
    generator: torch.Generator,
    permutations: int = 0,
    groups: Tensor | None = None,
    lower: bool = True,
) -> OwnNoiseInformation:
    """Bound and estimate I(X;T) and I(T;Y) of a stochastic layer at the noise that the network itself adds.

    The layer's output for example i is T ~ N(means_i, diag(variances_i)), so T is a mixture of Gaussians p_i. With
    D(i, j) a divergence, -mean_i ln mean_j exp(-D(i, j)) bounds I(X;T) from above for D = KL(p_i || p_j), and from
    below for the Bhattacharyya distance. The Monte Carlo estimate draws t_i once from every p_i and takes
    mean_i [ln p_i(t_i) - ln mean_j p_j(t_i)]. I(T;Y) follows as in `kde_information` and `noisy_information`, and so do
    errors, nulls, ceilings and marks.

    If all examples have the same variances, each unit is divided by its standard deviation, and the results are those
    of `kde_information` and `noisy_information` at noise variance 1. Otherwise the Kullback-Leibler and Monte Carlo
    values come from products of float64 matrices. The Bhattacharyya distance has no such form: its time also grows as
    samples^2 features, but is several times as long.

    Args:
        means: `(samples, features)`, finite, float16 to float64, on CPU or CUDA.
        variances: positive and finite: `(samples, features)`, `(features,)` for all examples, or one number.
        labels: `(samples,)` integers.
        generator: source of the permutations and of the draws, which do not depend on the number of permutations.
        permutations: number of permuted label sets for the nulls of I(T;Y).
        groups: `(samples,)` integers; samples of a group depend on each other. None: equal Gaussians of one label are
            copies (`distinct_rows.copies`).
        lower: whether to compute the Bhattacharyya values where variances differ; where they are equal, the values cost
            little and are always there.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Kolchinsky & Tracey (2017), Entropy 19(7), 361, Sections 4 and 5; Monte Carlo estimate: Goldfeld et al.
    (ICML 2019), arXiv:1810.05728.
    """
    spread = _checked_variances(means, variances)
    check_labels(labels, len(means))
    means = means.detach()
    settings: dict[str, Any] = {"permutations": permutations, "generator": generator, "groups": groups}
    if len(spread) == 1:
        values = _with_equal_noise(means, spread, labels, **settings)
    else:
        values = _with_different_noise(means, spread, labels, lower=lower, **settings)
    unasked: dict[str, Any] = dict.fromkeys(("input_lower", "label_lower", "label_lower_bound", "label_upper_bound"))
    return OwnNoiseInformation(
        **{**unasked, **values},
        rate=variational_rate(means, spread, groups=groups),
        gaussian_ceiling=_gaussian_ceiling(means, spread),
    )


def variational_rate(means: Tensor, variances: Tensor | float, *, groups: Tensor | None = None) -> Estimate:
    """Return mean_i KL(N(means_i, diag(variances_i)) || N(0, I)), in nats: the rate of a variational bottleneck.

    It bounds I(X;T) of the population from above, in expectation over the examples, whose draw the error covers. For
    the mixture of these very examples it is an upper bound without error.

    Args:
        means, variances, groups: as in `own_noise_information`.

    Raises:
        ValueError: an argument is outside the description.

    Source: Alemi et al. (2017), arXiv:1612.00410, Equation 14.
    """
    spread = _checked_variances(means, variances)
    terms = torch.empty(len(means), dtype=torch.double)
    for start in range(0, len(means), _ROWS):
        rows = slice(start, start + _ROWS)
        own = (spread if len(spread) == 1 else spread[rows]).double()
        terms[rows] = ((means[rows].detach().double().square() + own - 1 - own.log()).sum(dim=1) / 2).cpu()
    return Estimate(
        quantity=INPUT_INFORMATION,
        kind=UPPER,
        distribution=POPULATION,
        estimator=RATE,
        value=terms.mean().item(),
        error=standard_error(terms, groups),
        influences=terms,
    )


def _checked_variances(means: Tensor, variances: Tensor | float) -> Tensor:
    """Return variances as `(samples, features)`, or `(1, features)` where they are equal for all examples."""
    check_activations(means, name="means")
    if not isinstance(variances, Tensor):
        check_positive(variances, name="variances")
        variances = torch.tensor(variances, dtype=torch.double)
    spread = variances.detach().to(means.device)
    if tuple(spread.shape) not in ((), (means.shape[1],), (1, means.shape[1]), tuple(means.shape)):
        raise ValueError(
            f"variances must be one number, or of shape {tuple(means.shape[1:])} or {tuple(means.shape)} like the "
            f"means, got {tuple(spread.shape)}"
        )
    spread = spread.expand(means.shape[1]) if spread.ndim == 0 else spread
    spread = spread[None] if spread.ndim == 1 else spread
    lowest, highest = (extreme.item() for extreme in torch.aminmax(spread))
    if not (lowest > 0 and math.isfinite(highest)):  # written so that NaN fails too
        raise ValueError(f"variances must be positive and finite, found {lowest:.4g} to {highest:.4g}")
    return spread[:1] if torch.equal(spread, spread[:1].expand_as(spread)) else spread


def _with_equal_noise(
    means: Tensor,
    spread: Tensor,
    labels: Tensor,
    *,
    permutations: int,
    generator: torch.Generator,
    groups: Tensor | None,
) -> dict[str, Any]:
    """Return the estimates by name; `spread` is `(1, features)`."""
    one = float(spread[0, 0])
    single = bool((spread == one).all())
    pieces = SharedPieces(means if single else means.double() / spread.double().sqrt())
    variance = one if single else 1.0
    kde = kde_information(
        pieces,
        labels,
        noise_variance=variance,
        permutations=permutations,
        generator=generator.clone_state(),
        groups=groups,
    )
    noisy = noisy_information(
        pieces, labels, noise_variance=variance, permutations=permutations, generator=generator, groups=groups
    )
    names = ("input_lower", "input_upper", *LABEL_KINDS)
    return {"input": noisy.input, "label": noisy.label, **{name: getattr(kde, name) for name in names}}


def _with_different_noise(
    means: Tensor,
    spread: Tensor,
    labels: Tensor,
    *,
    permutations: int,
    generator: torch.Generator,
    groups: Tensor | None,
    lower: bool,
) -> dict[str, Any]:
    """Return the estimates by name; `spread` is `(samples, features)`."""
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    identities = pair_identities(*(row_identities(feature_pieces(part)) for part in (means, spread)))
    groups = checked_groups(groups, lambda: identities, labels)
    # As in `noisy_sweep`: the permutations of all estimators are equal, and the draws have a seed of their own.
    permuted = label_permutations(classes, permutations, generator=generator.clone_state(), groups=groups)
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device).item()
    draws = torch.Generator(device=generator.device).manual_seed(int(seed))
    samples = MixtureSamples(classes, halves(classes, groups), permuted, means.device)
    drawn, *pairwise = [Mixture(samples) for _ in range(3)]
    with torch.no_grad(), exact_products(means.device):
        for rows, ratios in log_ratios(means, spread, draws):
            drawn.add(rows, ratios.drawn)
            pairwise[KULLBACK_LEIBLER].add(rows, ratios.expected)
        if lower:
            for rows, distances in bhattacharyya_distances(means, spread):
                pairwise[BHATTACHARYYA].add(rows, -distances)
    ceilings = {"ceiling": multiplicity_entropy(identities), "label_ceiling": multiplicity_entropy(classes)}
    order = torch.arange(len(classes))
    noisy = noisy_from_terms(drawn.terms(order), groups=groups, **ceilings)
    kinds = (BHATTACHARYYA, KULLBACK_LEIBLER) if lower else (KULLBACK_LEIBLER,)
    terms = {kind: pairwise[kind].terms(order, own=True) for kind in kinds}
    return {"input": noisy.input, "label": noisy.label, **_pairwise_estimates(terms, groups, **ceilings)}


def _pairwise_estimates(
    terms: dict[int, MixtureTerms], groups: Tensor, *, ceiling: float, label_ceiling: float
) -> dict[str, Estimate]:
    found = {}
    for name, kind, estimator, bound in (
        ("input_lower", BHATTACHARYYA, KDE_BD, LOWER),
        ("input_upper", KULLBACK_LEIBLER, KDE_KL, UPPER),
    ):
        if kind in terms:
            found[name] = kde_estimate(INPUT_INFORMATION, bound, estimator, terms[kind].all, groups, ceiling=ceiling)
    for name, (whole, within, estimator, bound) in LABEL_KINDS.items():
        if {whole, within} <= terms.keys():
            nulls = (terms[whole].all.mean() - terms[within].permuted).tolist()
            found[name] = kde_estimate(
                LABEL_INFORMATION,
                bound,
                estimator,
                terms[whole].all - terms[within].own_class,
                groups,
                ceiling=label_ceiling if bound == ESTIMATE else None,
                null=null_from(nulls) if nulls else None,
            )
    return found


def _gaussian_ceiling(means: Tensor, spread: Tensor) -> float:
    """Return h of a Gaussian with the covariance of T, less the mean entropy of the noise, in nats.

    No distribution with this covariance has more entropy, and none with these variances more than that of independent
    units, which is used for many units. Source: Cover & Thomas (2006), Theorem 8.6.5.
    """
    noise = spread.double().mean(dim=0)
    shape = (noise.log() - spread.double().log().mean(dim=0)).sum().item() / 2
    points = (means.double() - means.mean(dim=0, dtype=torch.double)) / noise.sqrt()
    variances = points.square().mean(dim=0)
    # Above the largest ratio, rounding of the eigenvalues would be large beside the noise of 1.
    if means.shape[1] <= LARGEST_COVARIANCE and variances.sum() < LARGEST_RATIO:
        variances = torch.linalg.eigvalsh(points.T @ points / len(points)).clamp(min=0)
    return float(shape + variances.log1p().sum().item() / 2)
