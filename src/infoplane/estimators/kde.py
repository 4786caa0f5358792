"""Information in noisy layer outputs, between the pairwise bounds of Kolchinsky and Tracey."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels, check_positive
from infoplane.estimators.influence import standard_error
from infoplane.estimators.kernel_sums import kernel_terms
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.pairwise import KernelBlocks
from infoplane.estimators.precision import exact_products
from infoplane.estimators.rows import distinct_rows, multiplicity_entropy

_LOWER, _UPPER = 0, 1  # Bhattacharyya, Kullback-Leibler
# Each label quantity as I_k(all) - sum_c p_c I_l(class c): its kinds (k, l).
_LABEL_KINDS = {
    "label_lower": (_LOWER, _LOWER),
    "label_upper": (_UPPER, _UPPER),
    "label_lower_bound": (_LOWER, _UPPER),
    "label_upper_bound": (_UPPER, _LOWER),
}


class ClassEntropy(NamedTuple):
    """H(T|y=c) - h(noise) of one class, in nats: bounds, their standard errors and the ceiling."""

    lower: float
    upper: float
    lower_error: float
    upper_error: float
    ceiling: float  # entropy of the multiplicities of distinct rows within the class; log N_c where all differ
    samples: int


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
    activations: Tensor,
    labels: Tensor,
    *,
    noise_variance: float,
    permutations: int = 0,
    generator: torch.Generator | None = None,
) -> KDEInformation:
    """Bound I(X;T), and estimate and bound I(T;Y), for layer outputs observed through Gaussian noise.

    The noisy layer is a mixture of one Gaussian per sample. With d_ij the squared distances of a set of samples,
    I_k = -mean_i ln mean_j exp(-d_ij / (2 k noise_variance)), j = i included, bounds its information about the
    input from above for k = 1 (Kullback-Leibler) and from below for k = 4 (Bhattacharyya). I(T;Y) is
    I_k(all) - sum_c p_c I_l(class c): for k = l an estimate, for k != l a bound. The noise entropy cancels.
    All are of the empirical mixture, and returned raw: the mixed bounds can be negative or exceed H(Y).

    Args:
        activations: `(samples, features)`, finite, of any float type, on any device.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        permutations: permuted labels for the nulls, which come from the same kernels.
        generator: source of the permutations.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Kolchinsky & Tracey (2017), Entropy 19(7), 361 and arXiv:1706.02419, Sections 3 and 4.
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_positive(noise_variance, name="noise_variance")
    names, classes = torch.unique(labels.cpu(), return_inverse=True)
    permuted = label_permutations(classes, permutations, generator)
    # Samples of a class lie together, often far from the others: their blocks alone then need float64.
    order = torch.argsort(classes, stable=True)
    with torch.no_grad(), exact_products(activations.device):
        blocks = KernelBlocks(activations, order, noise_variance)
        terms = kernel_terms(blocks, classes[order], permuted[:, order])
        norms = torch.empty(len(order), dtype=torch.double)
        norms[order] = blocks.squared_norms.cpu()
        identities = distinct_rows(activations.detach(), _nearly_equal(norms))

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


def _nearly_equal(norms: Tensor) -> Tensor:
    """Number runs of nearly equal values, `(samples,)`: equal rows have equal norms and so share a number."""
    ascending, order = norms.sort()
    # Written so that infinite norms, whose gaps are NaN, share a number too.
    begins = ascending.diff() > 1e-9 * ascending[1:]
    numbers = torch.zeros(len(norms), dtype=torch.int64)
    numbers[order[1:]] = begins.cumsum(dim=0)
    return numbers
