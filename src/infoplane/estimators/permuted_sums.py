"""Sum kernels over each sample's own class, for permuted labels: the costly part of nulls, as matrix products."""

from collections.abc import Iterator

import torch
from torch import Tensor

from infoplane.estimators.precision import fastest_type

PRODUCT_COLUMNS = 4096  # one-hot columns per product, so that many permutations of many classes fit memory
INDICATOR_BYTES = 64 * 2**20  # one-hot columns of all samples that are kept between blocks
NEGLIGIBLE = 1e-6  # of a sample's own kernel: sums below it, of one block, are left out


class PermutedSums:
    """Sums of each sample's kernels over its own class, for permuted labels.

    Where the processor multiplies bfloat16 faster, kernels are rounded to it, by up to 2^-9 of their size. A sample's
    own kernel is left out of the products and added exactly, and each row is scaled so that its sum over all classes,
    which is known in float32, comes out right. What is left are differences between the rounding errors of classes.
    They are random, and the mean over samples of the logarithms changes by less than 1e-4 nats.

    Args:
        labels: `(samples, permutations)` class numbers.
        classes: number of classes.
        kinds: number of kernels of each pair of samples.
    """

    def __init__(self, labels: Tensor, classes: int, kinds: int) -> None:
        self._labels, self._classes = labels, classes
        self._type = fastest_type(labels.device)
        # of other samples: over the own class, and over all classes
        self.found = torch.zeros((2, kinds, *labels.shape), dtype=torch.double, device=labels.device)
        self._indicators: Tensor | None = None  # (samples, permutations, classes)
        if self._type.itemsize * labels.numel() * classes <= INDICATOR_BYTES:
            self._indicators = one_hot(labels, classes, self._type)

    def add(self, kind: int, rows: slice, columns: slice, kernel: Tensor, largest: float) -> None:
        """Add the sums of one block.

        Args:
            kind: of kernel.
            rows: samples whose sums are added to.
            columns: samples that are summed over.
            kernel: `(rows, columns)`; the kernel of a sample with itself is 1.
            largest: largest sum of a row, without the sample's own kernel.
        """
        if not self._labels.shape[1] or largest <= NEGLIGIBLE:
            return
        rounded = kernel.to(self._type, copy=True)
        if columns.start <= rows.start < columns.stop:
            rounded.diagonal(rows.start - columns.start).zero_()
        for part in _chunks(self._labels.shape[1], self._classes):
            labels = self._labels[rows, part]
            by_class = (rounded @ self._columns(columns, part)).float().view(*labels.shape, self._classes)
            self.found[0, kind, rows, part] += by_class.gather(2, labels[:, :, None]).squeeze(2)
            self.found[1, kind, rows, part] += by_class.sum(dim=2)

    def of_own_class(self, totals: Tensor) -> Tensor:
        """Return the sums over the own class, `(kinds, samples, permutations)`.

        Args:
            totals: `(kinds, samples)` sums over all samples.
        """
        own, every = self.found
        return 1 + own * torch.where(every > 0, (totals[:, :, None] - 1) / every, 0.0)

    def _columns(self, rows: slice, part: slice) -> Tensor:
        if self._indicators is None:
            return one_hot(self._labels[rows, part], self._classes, self._type).flatten(start_dim=1)
        return self._indicators[rows, part].flatten(start_dim=1)


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return indicators, `(samples, labellings, classes)`, of class numbers, `(samples, labellings)`."""
    return (labels[:, :, None] == torch.arange(classes, device=labels.device)).to(dtype)


def _chunks(permutations: int, classes: int) -> Iterator[slice]:
    """Split permutations so that the one-hot columns of a part are at most `PRODUCT_COLUMNS`, or one permutation's."""
    step = max(1, PRODUCT_COLUMNS // classes)
    for start in range(0, permutations, step):
        yield slice(start, min(start + step, permutations))
