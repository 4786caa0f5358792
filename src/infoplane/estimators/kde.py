"""Information in noisy layer outputs, between the pairwise bounds of Kolchinsky and Tracey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_labels, check_positive
from infoplane.estimators.features import FeaturePieces, feature_pieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.kernel_sums import KernelTerms, kernel_terms
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.pairwise import KernelBlocks
from infoplane.estimators.precision import exact_products
from infoplane.estimators.rows import multiplicity_entropy
from infoplane.short_repr import with_short_repr
from infoplane.team import ALONE, RankedTeam, check_equal

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed import ProcessGroup

_LOWER, _UPPER = 0, 1  # Bhattacharyya, Kullback-Leibler
# Each label quantity as I_k(all) - sum_c p_c I_l(class c): its kinds (k, l).
_LABEL_KINDS = {
    "label_lower": (_LOWER, _LOWER),
    "label_upper": (_UPPER, _UPPER),
    "label_lower_bound": (_LOWER, _UPPER),
    "label_upper_bound": (_UPPER, _LOWER),
}


@with_short_repr
class ClassEntropy(NamedTuple):
    """H(T|y=c) - h(noise) of one class, in nats: bounds, their standard errors and the ceiling."""

    lower: float
    upper: float
    lower_error: float
    upper_error: float
    ceiling: float  # entropy of the multiplicities of distinct rows within the class; log N_c where all differ
    samples: int


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class KDEInformation:
    """I(X;T) and I(T;Y) of T = activations + N(0, noise_variance I), in nats.

    `influences` holds, for each of the six informations by its name, a `(samples,)` float64 tensor in the order
    of the samples whose mean is the value; and as "class_lower" and "class_upper" each sample's term in the entropy
    of its own class. `errors` are standard errors of the six. `nulls` has the four label informations for permuted
    labels, if permutations were asked for.
    """

    input_lower: float
    input_upper: float
    label_lower: float  # difference of two lower bounds: an estimate
    label_upper: float  # difference of two upper bounds: an estimate
    label_lower_bound: float
    label_upper_bound: float
    class_entropies: dict[int, ClassEntropy]
    input_ceiling: float  # entropy of the multiplicities of distinct rows; log N where all differ
    label_ceiling: float  # H(Y) of these labels; the two mixed bounds have none
    influences: dict[str, Tensor]
    errors: dict[str, float]
    nulls: dict[str, Null]


def kde_information(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variance: float,
    permutations: int = 0,
    generator: torch.Generator | None = None,
    group: ProcessGroup | None = None,
) -> KDEInformation:
    """Bound I(X;T), and estimate and bound I(T;Y), for layer outputs observed through Gaussian noise.

    The noisy layer is a mixture of one Gaussian per sample. With d_ij the squared distances of a set of samples,
    I_k = -mean_i ln mean_j exp(-d_ij / (2 k noise_variance)), j = i included, bounds its information about the
    input from above for k = 1 (Kullback-Leibler) and from below for k = 4 (Bhattacharyya). I(T;Y) is
    I_k(all) - sum_c p_c I_l(class c): for k = l an estimate, for k != l a bound. The noise entropy cancels.
    All are of the empirical mixture, and returned raw: the mixed bounds can be negative or exceed H(Y).

    Memory beyond the activations stays below 1 GB for up to 50,000 samples, nulls aside. Activations in pieces are
    read once for up to 11,000 samples, beyond twice for every 256 MiB of float32 distances; and once or twice more
    where samples lie so close together, compared to the others, that float32 cannot tell them apart.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        permutations: permuted labels for the nulls, which come from the same kernels.
        generator: source of the permutations.
        group: processes that share the work, each called with the same arguments and an equally seeded generator; all
            get the same result.

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
    )[0]


def kde_sweep(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variances: Sequence[float],
    permutations: int = 0,
    generator: torch.Generator | None = None,
    group: ProcessGroup | None = None,
) -> list[KDEInformation]:
    """Give what `kde_information` gives at each of several noise variances, from the same distances.

    Where one variance needs a block of distances in float64, all get it. Nulls share the permutations.

    Args:
        noise_variances: at least one, each positive, in squared activation units; other arguments as there.

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
    permuted = label_permutations(classes, permutations, generator)
    # Samples of a class lie together, often far from the others: their blocks alone then need float64.
    order = torch.argsort(classes, stable=True)
    team = ALONE if group is None else RankedTeam(group)
    if group is not None:
        check_equal(_sums(pieces, classes, permuted, noise_variances), team, name="the arguments")
    with torch.no_grad(), exact_products(pieces.device):
        blocks = KernelBlocks(pieces, order, noise_variances, team)
        terms = kernel_terms(blocks, classes[order], permuted[:, order])
        identities = row_identities(pieces)
    samples = _Samples(names, classes, order, identities)
    return [_information(part, samples) for part in terms]


def _sums(pieces: FeaturePieces, classes: Tensor, permuted: Tensor, noise_variances: Sequence[float]) -> Tensor:
    """A few numbers by which arguments differ: ranks with batches of their own would give nonsense in silence."""
    first = pieces.piece(slice(0, min(pieces.features, 64))).double().sum().item()
    positions = torch.arange(pieces.samples, dtype=torch.double)
    labelled = torch.cat([classes[None], permuted]).double() @ positions
    weighted = labelled @ torch.arange(1, len(labelled) + 1, dtype=torch.double)
    sizes = [pieces.samples, pieces.features, len(noise_variances), sum(noise_variances)]
    return torch.tensor([*sizes, weighted.item(), first], dtype=torch.double, device=pieces.device)


class _Samples(NamedTuple):
    """What the results at all noise variances share."""

    names: Tensor  # (classes,) the labels, ascending
    classes: Tensor  # (samples,) their numbers
    order: Tensor  # (samples,) of the samples in the kernel terms
    identities: Tensor  # (samples,) equal where rows are


def _information(terms: KernelTerms, samples: _Samples) -> KDEInformation:
    names, classes, order, identities = samples
    whole, own = torch.empty_like(terms.all), torch.empty_like(terms.own_class)
    whole[:, order], own[:, order] = terms.all, terms.own_class
    if len(names) == 1:  # exactly, not up to rounding: a constant label carries no information
        own = whole
    influences = {
        "input_lower": whole[_LOWER],
        "input_upper": whole[_UPPER],
        **{name: whole[k] - own[within] for name, (k, within) in _LABEL_KINDS.items()},
    }
    values = {name: part.mean().item() for name, part in influences.items()}
    inputs = (values["input_lower"], values["input_upper"])
    permutations = terms.permuted.shape[1]
    nulls = {
        name: null_from((inputs[k] - terms.permuted[within]).tolist())
        for name, (k, within) in _LABEL_KINDS.items()
        if permutations
    }
    return KDEInformation(
        **values,
        class_entropies={
            int(name): _class_entropy(own[:, classes == index], identities[classes == index])
            for index, name in enumerate(names)
        },
        input_ceiling=multiplicity_entropy(identities),
        label_ceiling=multiplicity_entropy(classes),
        influences={**influences, "class_lower": own[_LOWER], "class_upper": own[_UPPER]},
        errors={name: standard_error(part) for name, part in influences.items()},
        nulls=nulls,
    )


def _class_entropy(terms: Tensor, identities: Tensor) -> ClassEntropy:
    lower, upper = terms
    return ClassEntropy(
        lower=lower.mean().item(),
        upper=upper.mean().item(),
        lower_error=standard_error(lower),
        upper_error=standard_error(upper),
        ceiling=multiplicity_entropy(identities),
        samples=len(identities),
    )
