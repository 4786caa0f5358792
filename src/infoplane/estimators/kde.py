"""KDE estimator: the pairwise bounds of Kolchinsky and Tracey on the information of noisy layer outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_labels, check_positive
from infoplane.distributed.team import ALONE, RankedTeam, check_equal
from infoplane.estimators.distinct_rows import checked_groups, multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import FeaturePieces, feature_pieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.kernel_sums import KernelTerms, kernel_terms
from infoplane.estimators.nulls import label_permutations, null_from
from infoplane.estimators.pairwise import KernelBlocks
from infoplane.estimators.precision import exact_products
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import (
    CLASS_ENTROPY,
    ESTIMATE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    LOWER,
    MIXTURE,
    UPPER,
)
from infoplane.text import with_field_help

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed import ProcessGroup

BHATTACHARYYA, KULLBACK_LEIBLER = 0, 1  # kinds of divergence: lower bounds of I(X;T), upper bounds
# Each label quantity is I_k(all) - sum_c p_c I_l(class c): its kinds (k, l), its estimator, and bound or estimate.
LABEL_KINDS = {
    "label_lower": (BHATTACHARYYA, BHATTACHARYYA, KDE_BD, ESTIMATE),
    "label_upper": (KULLBACK_LEIBLER, KULLBACK_LEIBLER, KDE_KL, ESTIMATE),
    "label_lower_bound": (BHATTACHARYYA, KULLBACK_LEIBLER, KDE_MIXED, LOWER),
    "label_upper_bound": (KULLBACK_LEIBLER, BHATTACHARYYA, KDE_MIXED, UPPER),
}


@with_field_help
@with_short_repr
class ClassEntropy(NamedTuple):
    """Both bounds of H(T|y=c) - h(noise) of one class.

    Their ceiling is the entropy of the multiplicities of distinct rows within the class, log N_c where all differ.

    Attributes:
        lower: the lower bound.
        upper: the upper bound.
    """

    lower: Estimate
    upper: Estimate


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class KDEInformation:
    """I(X;T) and I(T;Y) of T = activations + N(0, noise_variance I), in nats.

    The ceiling of I(X;T) is the entropy of the multiplicities of distinct rows, log N if all differ. The ceiling of
    `label_lower` and `label_upper` is H(Y) of these labels. The four label informations have nulls, if permutations
    were asked for.
    """

    input_lower: Estimate
    input_upper: Estimate
    label_lower: Estimate  # difference of two lower bounds: an estimate
    label_upper: Estimate  # difference of two upper bounds: an estimate
    label_lower_bound: Estimate  # the two mixed bounds have no ceiling
    label_upper_bound: Estimate
    class_entropies: dict[int, ClassEntropy]

    def estimates(self) -> tuple[Estimate, ...]:
        """Return the six informations, then both bounds of each class's entropy."""
        informations = (self.input_lower, self.input_upper, self.label_lower, self.label_upper)
        bounds = (self.label_lower_bound, self.label_upper_bound)
        return informations + bounds + tuple(bound for both in self.class_entropies.values() for bound in both)


def kde_information(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variance: float,
    permutations: int = 0,
    generator: torch.Generator | None = None,
    group: ProcessGroup | None = None,
    groups: Tensor | None = None,
) -> KDEInformation:
    """Bound I(X;T), and estimate and bound I(T;Y), for layer outputs observed through Gaussian noise.

    The noisy layer is a mixture of one Gaussian per sample. With d_ij the squared distances of a set of samples,
    I_k = -mean_i ln mean_j exp(-d_ij / (2 k noise_variance)), j = i included, bounds its information about the
    input from above for k = 1 (Kullback-Leibler) and from below for k = 4 (Bhattacharyya). For the label,
    I_k(all) - sum_c p_c I_l(class c) is an estimate of I(T;Y) if k = l and a bound if k != l. The noise entropy
    cancels. All values are about the empirical mixture and not clipped: the mixed bounds can be negative or exceed
    H(Y).

    Memory beyond the activations stays below 1 GB for up to 50,000 samples, without nulls. Activations in pieces are
    read once for up to 11,000 samples, and beyond that twice for every 256 MiB of float32 distances, or once for all if
    their `storage_bytes` hold all distances. They are read once or twice more if some samples lie so close together,
    compared to the others, that float32 cannot separate them.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        permutations: number of permuted label sets for the nulls, which use the same kernels.
        generator: source of the permutations.
        group: processes that share the work, each called with the same arguments and an equally seeded generator; all
            get the same result.
        groups: `(samples,)` integers; samples of a group depend on each other. Permutations and errors then go by
            groups. None: equal rows of one label are copies (`distinct_rows.copies`).

    Raises:
        ValueError: an argument is outside the description above.

    Source: Kolchinsky & Tracey (2017), Entropy 19(7), 361 and arXiv:1706.02419, Sections 3 and 4.
    """
    check_positive(noise_variance, name="noise_variance")
    return kde_sweep(
        activations,
        labels,
        noise_variances=[noise_variance],
        permutations=permutations,
        generator=generator,
        group=group,
        groups=groups,
    )[0]


def kde_sweep(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variances: Sequence[float],
    permutations: int = 0,
    generator: torch.Generator | None = None,
    group: ProcessGroup | None = None,
    groups: Tensor | None = None,
) -> list[KDEInformation]:
    """Compute `kde_information` at several noise variances, from the same distances.

    If one variance needs a block of distances in float64, all variances use it. Nulls share the permutations.

    Args:
        activations, labels, permutations, generator, group, groups: as in `kde_information`.
        noise_variances: at least one, each positive, in squared activation units.

    Returns:
        One result per noise variance, in their order.

    Raises:
        ValueError: an argument is outside the description.
    """
    pieces = feature_pieces(activations)
    check_labels(labels, pieces.samples)
    if len(noise_variances) == 0:
        raise ValueError("noise_variances must hold at least one number, got none")
    for variance in noise_variances:
        check_positive(variance, name="noise_variances")
    names, classes = torch.unique(labels.cpu(), return_inverse=True)
    identities = row_identities(pieces)
    groups = checked_groups(groups, lambda: identities, labels)
    permuted = label_permutations(classes, permutations, generator=generator, groups=groups)
    # Samples of a class lie together, often far from the others: their blocks alone then need float64.
    order = torch.argsort(classes, stable=True)
    team = ALONE if group is None else RankedTeam(group)
    if group is not None:
        check_equal(_sums(pieces, classes, permuted, noise_variances), team, name="the arguments")
    with torch.no_grad(), exact_products(pieces.device):
        blocks = KernelBlocks(pieces, order, noise_variances, team)
        terms = kernel_terms(blocks, classes[order], permuted[:, order])
    samples = _Samples(names, classes, order, identities, groups)
    return [_information(part, samples) for part in terms]


def _sums(pieces: FeaturePieces, classes: Tensor, permuted: Tensor, noise_variances: Sequence[float]) -> Tensor:
    """Return a few sums that show whether all ranks got the same arguments; with others the result would be wrong."""
    first = pieces.piece(slice(0, min(pieces.features, 64))).double().sum().item()
    positions = torch.arange(pieces.samples, dtype=torch.double)
    labelled = torch.cat([classes[None], permuted]).double() @ positions
    weighted = labelled @ torch.arange(1, len(labelled) + 1, dtype=torch.double)
    sizes = [pieces.samples, pieces.features, len(noise_variances), sum(noise_variances)]
    return torch.tensor([*sizes, weighted.item(), first], dtype=torch.double, device=pieces.device)


class _Samples(NamedTuple):
    """The samples' labels and order, the same for all noise variances."""

    names: Tensor  # (classes,) the labels, ascending
    classes: Tensor  # (samples,) index of each sample's label in `names`
    order: Tensor  # (samples,) order of the samples in the kernel terms
    identities: Tensor  # (samples,) integers, equal where rows are equal
    groups: Tensor  # (samples,) integers, equal where samples depend on each other


def _information(terms: KernelTerms, samples: _Samples) -> KDEInformation:
    names, classes, order, identities, groups = samples
    whole, own = torch.empty_like(terms.all), torch.empty_like(terms.own_class)
    whole[:, order], own[:, order] = terms.all, terms.own_class
    if len(names) == 1:  # a constant label has an information of exactly 0, without rounding
        own = whole
    values = [whole[kind].mean().item() for kind in (BHATTACHARYYA, KULLBACK_LEIBLER)]
    ceiling, label_ceiling = multiplicity_entropy(identities), multiplicity_entropy(classes)
    of_inputs = {
        name: kde_estimate(INPUT_INFORMATION, kind, estimator, whole[place], groups, ceiling=ceiling)
        for name, place, estimator, kind in (
            ("input_lower", BHATTACHARYYA, KDE_BD, LOWER),
            ("input_upper", KULLBACK_LEIBLER, KDE_KL, UPPER),
        )
    }
    of_labels = {
        name: kde_estimate(
            LABEL_INFORMATION,
            kind,
            estimator,
            whole[k] - own[within],
            groups,
            ceiling=label_ceiling if kind == ESTIMATE else None,
            null=null_from((values[k] - terms.permuted[within]).tolist()) if terms.permuted.shape[1] else None,
        )
        for name, (k, within, estimator, kind) in LABEL_KINDS.items()
    }
    return KDEInformation(
        **of_inputs,
        **of_labels,
        class_entropies={
            int(name): _class_entropy(int(name), own, samples, (classes == index).nonzero().squeeze(1))
            for index, name in enumerate(names)
        },
    )


def _class_entropy(name: int, own: Tensor, samples: _Samples, rows: Tensor) -> ClassEntropy:
    ceiling, groups = multiplicity_entropy(samples.identities[rows]), samples.groups[rows]
    return ClassEntropy(
        *(
            kde_estimate(
                CLASS_ENTROPY, kind, estimator, own[place][rows], groups, ceiling=ceiling, class_index=name, rows=rows
            )
            for place, estimator, kind in ((BHATTACHARYYA, KDE_BD, LOWER), (KULLBACK_LEIBLER, KDE_KL, UPPER))
        )
    )


def kde_estimate(quantity: str, kind: str, estimator: str, influences: Tensor, groups: Tensor, **more: Any) -> Estimate:
    """Return the estimate whose influence terms, `(samples,)`, are given; `more` are further fields of it."""
    return Estimate(
        quantity=quantity,
        kind=kind,
        distribution=MIXTURE,
        estimator=estimator,
        value=influences.mean().item(),
        error=standard_error(influences, groups),
        influences=influences,
        **more,
    )
