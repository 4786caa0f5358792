"""Sums of pair kernels over all samples, over classes and over permuted classes, from one sweep of the blocks."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.pairwise import KernelBlocks, fourth_power

PRODUCT_COLUMNS = 4096  # one-hot columns per product, so that many permutations of many classes fit memory


class KernelTerms(NamedTuple):
    """Results of both kinds, Bhattacharyya first, Kullback-Leibler second; float64 on the CPU, in block order."""

    all: Tensor  # (2, samples) influence terms of I_k(all)
    own_class: Tensor  # (2, samples) influence terms of I_k(class of the sample)
    permuted: Tensor  # (2, permutations) sum_c p_c I_k(class c) for permuted labels


def kernel_terms(blocks: KernelBlocks, classes: Tensor, permuted: Tensor) -> KernelTerms:
    """Compute I_k and its influence terms for all samples, for each class, and for permuted classes.

    With m_i = sum_j K_ij / N, the sum including j = i, I = -(1/N) sum_i ln m_i. Its influence term is
    a_i = 1 - ln m_i - (1/N) sum_j K_ij / m_j: the sample's part as a centre and as a component of the mixture.
    The mean of a_i is I exactly, as m is also the column mean of K. Within a class likewise.

    Args:
        blocks: Bhattacharyya kernels; their fourth powers are those of the Kullback-Leibler kind.
        classes: `(samples,)` class numbers from 0, ascending along the order of `blocks`.
        permuted: `(permutations, samples)` the same numbers in other orders.
    """
    device = blocks.activations.device
    counts = torch.bincount(classes)
    sizes = counts[classes].to(device)
    own = classes.to(device)
    labels = permuted.T.contiguous().to(device)  # (samples, permutations)

    sums = torch.zeros((2, 2, blocks.samples), dtype=torch.double, device=device)  # (kind, all | class, samples)
    permuted_sums = torch.zeros((2, *labels.shape), dtype=torch.double, device=device)
    for rows, columns, kind, kernel in _both_kinds(blocks):
        _add(sums[kind, 0], rows, columns, kernel.sum(dim=1), kernel.sum(dim=0))
        if classes[columns.start] <= classes[rows.stop - 1]:  # ascending classes: others share none
            within = kernel * (own[rows, None] == own[columns])
            _add(sums[kind, 1], rows, columns, within.sum(dim=1), within.sum(dim=0))
        for part in permutation_chunks(labels.shape[1], len(counts)):
            by_rows, by_columns = labels[rows, part], labels[columns, part]
            permuted_sums[kind, rows, part] += sums_of_own_class(kernel, by_rows, by_columns, len(counts))
            if rows != columns:
                permuted_sums[kind, columns, part] += sums_of_own_class(kernel.T, by_columns, by_rows, len(counts))

    mean_kernels = sums / torch.stack([torch.full_like(sizes, blocks.samples), sizes])
    inverses = mean_kernels.reciprocal().float()  # at most N: float32 is enough, as for the kernels
    components = torch.zeros_like(sums)
    for rows, columns, kind, kernel in _both_kinds(blocks):
        whole, within_class = inverses[kind]
        _add(components[kind, 0], rows, columns, kernel @ whole[columns], whole[rows] @ kernel)
        if classes[columns.start] <= classes[rows.stop - 1]:
            within = kernel * (own[rows, None] == own[columns])
            _add(components[kind, 1], rows, columns, within @ within_class[columns], within_class[rows] @ within)
    components /= torch.stack([torch.full_like(sizes, blocks.samples), sizes])
    terms = ((1 - components) - mean_kernels.log()).cpu()

    permuted_means = permuted_sums / counts.to(device)[labels]
    return KernelTerms(all=terms[:, 0], own_class=terms[:, 1], permuted=-permuted_means.log().mean(dim=1).cpu())


def _both_kinds(blocks: KernelBlocks) -> Iterator[tuple[slice, slice, int, Tensor]]:
    for rows, columns, kernel in blocks:
        yield rows, columns, 0, kernel
        yield rows, columns, 1, fourth_power(kernel)


def _add(sums: Tensor, rows: slice, columns: slice, row_sums: Tensor, column_sums: Tensor) -> None:
    """Add what one block, and its mirror image below the diagonal, contribute."""
    sums[rows] += row_sums
    if rows != columns:
        sums[columns] += column_sums


def permutation_chunks(permutations: int, classes: int) -> Iterator[slice]:
    step = max(1, PRODUCT_COLUMNS // classes)
    for start in range(0, permutations, step):
        yield slice(start, min(start + step, permutations))


def sums_of_own_class(kernel: Tensor, row_labels: Tensor, column_labels: Tensor, classes: int) -> Tensor:
    """Sum each row over the columns of its own class, for every labelling: `(rows, permutations)`."""
    one_hot = column_labels[:, :, None] == torch.arange(classes, device=kernel.device)
    by_class = kernel @ one_hot.flatten(start_dim=1).to(kernel.dtype)
    return by_class.view(len(kernel), -1, classes).gather(2, row_labels[:, :, None]).squeeze(2)
