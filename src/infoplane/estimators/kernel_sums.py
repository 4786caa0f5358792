"""Sum pair kernels over all samples, over classes and over permuted classes, in one pass over the blocks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.pairwise import KernelBlocks, Kind, fourth_power

PRODUCT_COLUMNS = 4096  # one-hot columns per product, so that many permutations of many classes fit memory
INDICATOR_BYTES = 64 * 2**20  # one-hot columns of all samples that are kept between blocks
NEGLIGIBLE = 1e-6  # of a sample's own kernel: sums below it, of one block, are left out of the null


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
    null = _PermutedSums(labels, len(counts), kinds)
    for rows, columns, parts in blocks.summed():
        same = _same_class(own, rows, columns)
        for kind, part in enumerate(parts):
            _add(sums[kind, 0], rows, columns, part.row_sums, part.column_sums)
            if same is not None:
                within = part.kernel * same
                _add(sums[kind, 1], rows, columns, within.sum(dim=1), within.sum(dim=0))
        null.add(rows, columns, parts)
    mean_kernels = blocks.team.add_(sums) / sizes
    inverses = mean_kernels.reciprocal().float()  # at most N: float32 is enough, as for the kernels
    components = torch.zeros_like(sums)
    for rows, columns, kernels in blocks:
        same = _same_class(own, rows, columns)
        for kind, kernel in enumerate(one for lower in kernels for one in (lower, fourth_power(lower))):
            whole, within_class = inverses[kind]
            _add(components[kind, 0], rows, columns, kernel @ whole[columns], whole[rows] @ kernel)
            if same is not None:
                within = kernel * same
                _add(components[kind, 1], rows, columns, within @ within_class[columns], within_class[rows] @ within)
    terms = ((1 - blocks.team.add_(components) / sizes) - mean_kernels.log()).cpu()
    permuted_means = blocks.team.add_(null.sums) / counts[labels]
    permuted_terms = -permuted_means.log().mean(dim=1).cpu()
    return [
        KernelTerms(all=terms[kind, 0], own_class=terms[kind, 1], permuted=permuted_terms[kind])
        for kind in (slice(first, first + 2) for first in range(0, kinds, 2))
    ]


class _PermutedSums:
    """Sums of each sample's kernels over its own class, for permuted labels.

    Args:
        labels: `(samples, permutations)` class numbers.
        classes: number of classes.
        kinds: number of kernels of each pair of samples.
    """

    def __init__(self, labels: Tensor, classes: int, kinds: int) -> None:
        self._labels, self._classes = labels, classes
        self.sums = torch.zeros((kinds, *labels.shape), dtype=torch.double, device=labels.device)
        self._indicators: Tensor | None = None  # (samples, permutations, classes)
        if 4 * labels.numel() * classes <= INDICATOR_BYTES:
            self._indicators = one_hot_columns(labels, classes, torch.float).view(*labels.shape, classes)

    def add(self, rows: slice, columns: slice, parts: Sequence[Kind]) -> None:
        """Add the sums of one block, and of its mirror image below the diagonal."""
        own = float(rows == columns)  # a sample's own kernel is in its class
        for chosen in permutation_chunks(self._labels.shape[1], self._classes):
            for kind, part in enumerate(parts):
                self._add(kind, rows, columns, chosen, part.kernel, part.row_sums, own)
                if rows != columns:
                    self._add(kind, columns, rows, chosen, part.kernel.T, part.column_sums, own)

    def _add(
        self, kind: int, rows: slice, columns: slice, chosen: slice, kernel: Tensor, totals: Tensor, own: float
    ) -> None:
        if totals.max().item() - own <= NEGLIGIBLE:
            self.sums[kind, rows, chosen] += own
        else:
            indicators = self._of(columns, chosen)
            self.sums[kind, rows, chosen] += sums_of_own_class(kernel, self._labels[rows, chosen], indicators)

    def _of(self, rows: slice, chosen: slice) -> Tensor:
        if self._indicators is None:
            return one_hot_columns(self._labels[rows, chosen], self._classes, torch.float)
        return self._indicators[rows, chosen].flatten(start_dim=1)


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


def permutation_chunks(permutations: int, classes: int, columns: int = PRODUCT_COLUMNS) -> Iterator[slice]:
    """Split permutations so that the one-hot columns of a part are at most `columns`, or those of one permutation."""
    step = max(1, columns // classes)
    for start in range(0, permutations, step):
        yield slice(start, min(start + step, permutations))


def one_hot_columns(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Convert class numbers, `(samples, labellings)`, to indicators, `(samples, labellings * classes)`."""
    return (labels[:, :, None] == torch.arange(classes, device=labels.device)).flatten(start_dim=1).to(dtype)


def sums_of_own_class(kernel: Tensor, labels: Tensor, one_hot: Tensor) -> Tensor:
    """Sum each row over the columns of its own class, for every labelling: `(rows, labellings)`.

    Args:
        kernel: `(rows, samples)`.
        labels: `(rows, labellings)` class numbers of the rows.
        one_hot: indicators of the columns, as `one_hot_columns` returns them.
    """
    by_class = (kernel @ one_hot).view(*labels.shape, -1)
    return by_class.gather(2, labels[:, :, None]).squeeze(2)
