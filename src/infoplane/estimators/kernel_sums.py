"""Sum pair kernels over all samples, over classes and over permuted classes, in one pass over the blocks."""

from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.pairwise import KernelBlocks
from infoplane.estimators.permuted_sums import PermutedSums
from infoplane.estimators.precision import fastest_type


class KernelTerms(NamedTuple):
    """Results of both kinds, Bhattacharyya first, Kullback-Leibler second; float64 on the CPU, in order of blocks."""

    all: Tensor  # (2, samples) influence terms of I_k(all)
    own_class: Tensor  # (2, samples) influence terms of I_k(class of the sample)
    permuted: Tensor  # (2, permutations) sum_c p_c I_k(class c) for permuted labels


def kernel_terms(blocks: KernelBlocks, classes: Tensor, permuted: Tensor) -> list[KernelTerms]:
    """Compute I_k and its influence terms for all samples, for each class, and for permuted classes.

    With m_i = sum_j K_ij / N, the sum including j = i, I = -(1/N) sum_i ln m_i. Its influence term is
    a_i = 1 - ln m_i - (1/N) sum_j K_ij / m_j: the sample's effect as a centre and as a component of the mixture.
    The mean of a_i is exactly I, since m is also the column mean of K. The same holds within a class.

    Args:
        blocks: Bhattacharyya kernels; their fourth powers are those of the Kullback-Leibler kind.
        classes: `(samples,)` class numbers from 0, ascending along the order of `blocks`.
        permuted: `(permutations, samples)` class numbers in permuted orders.

    Returns:
        The terms at each noise variance of `blocks`, in their order.
    """
    device, samples = blocks.pieces.device, blocks.samples
    counts = torch.bincount(classes).to(device)
    own = classes.to(device)
    labels = permuted.T.contiguous().to(device)  # (samples, permutations)
    sizes = torch.stack([torch.full_like(own, samples), counts[own]])  # (all | class, samples)

    kinds = 2 * len(blocks.noise_variances)
    sums = torch.zeros((kinds, *sizes.shape), dtype=torch.double, device=device)
    null = PermutedSums(labels, len(counts), kinds, fastest_type(device))
    for rows, columns, parts in blocks.summed():
        same = _same_class(own, rows, columns)
        for kind, part in enumerate(parts):
            _add(sums[kind, 0], rows, columns, part.row_sums, part.column_sums)
            if same is not None:
                within = part.kernel * same
                _add(sums[kind, 1], rows, columns, within.sum(dim=1), within.sum(dim=0))
        null.add(rows, columns, [part.kernel for part in parts], [part.row_sums for part in parts])
        if rows != columns:
            null.add(columns, rows, [part.kernel.T for part in parts], [part.column_sums for part in parts])
    mean_kernels = blocks.team.add_(sums) / sizes
    blocks.team.add_(null.others)
    inverses = mean_kernels.reciprocal().float()  # at most N: float32 is enough, as for the kernels
    components = torch.zeros_like(sums)
    for rows, columns, kernels in blocks.both_kinds():
        same = _same_class(own, rows, columns)
        for kind, kernel in enumerate(kernels):
            whole, within_class = inverses[kind]
            _add(components[kind, 0], rows, columns, kernel @ whole[columns], whole[rows] @ kernel)
            if same is not None:
                within = kernel * same
                _add(components[kind, 1], rows, columns, within @ within_class[columns], within_class[rows] @ within)
    terms = ((1 - blocks.team.add_(components) / sizes) - mean_kernels.log()).cpu()
    of_labels = counts[labels]
    # one kind after the other: all together would take several times the memory of the sums
    permuted_terms = torch.stack([-((1 + others) / of_labels).log().mean(dim=0) for others in null.others]).cpu()
    return [
        KernelTerms(all=terms[kind, 0], own_class=terms[kind, 1], permuted=permuted_terms[kind])
        for kind in (slice(first, first + 2) for first in range(0, kinds, 2))
    ]


def _same_class(classes: Tensor, rows: slice, columns: slice) -> Tensor | None:
    """Return which pairs of a block share a class; None if no pair does."""
    if classes[columns.start] > classes[rows.stop - 1]:
        return None
    return classes[rows, None] == classes[columns]


def _add(sums: Tensor, rows: slice, columns: slice, row_sums: Tensor, column_sums: Tensor) -> None:
    """Add the sums of one block, and of its mirror image below the diagonal."""
    sums[rows] += row_sums
    if rows != columns:
        sums[columns] += column_sums
