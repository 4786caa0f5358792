"""Sum kernels over each sample's own class, for permuted labels: the costly part of nulls, as matrix products."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

PRODUCT_COLUMNS = 4096  # one-hot columns per product, so that many permutations of many classes fit memory
INDICATOR_BYTES = 64 * 2**20  # one-hot columns of all samples that are kept between blocks
NEGLIGIBLE = 1e-6  # of a sample's own kernel: sums below it, of one block, are left out
MOST_ROWS = 0.7  # of a block: with more, all rows take less time than a choice of them


class PermutedSums:
    """Sums of each sample's kernels over its own class, for permuted labels.

    Kernels of at most 1 may be rounded to bfloat16, which some processors multiply faster. Only their differences from
    the mean of a row of the block are rounded. That mean counts as often as the own class has samples in the block, a
    sample's own kernel of 1 is added exactly, and the rounding of the differences, whose sum is 0, is taken off in
    equal shares. The mean over samples of the logarithms of the sums changes by less than 1e-4 nats where kernels
    differ, and by less than 1e-3 in the worst case, many samples with a few equal kernels.

    Args:
        labels: `(samples, permutations)` class numbers.
        classes: number of classes.
        kinds: number of kernels of each pair of samples.
        dtype: of the products.
    """

    def __init__(self, labels: Tensor, classes: int, kinds: int, dtype: torch.dtype = torch.float) -> None:
        self._labels, self._classes, self._type = labels, classes, dtype
        self.others = torch.zeros((kinds, *labels.shape), dtype=torch.double, device=labels.device)
        self._counted: dict[tuple[int, int, int], Tensor] = {}
        self._indicators: Tensor | None = None  # (samples, permutations, classes)
        if self._type.itemsize * labels.numel() * classes <= INDICATOR_BYTES:
            self._indicators = one_hot(labels, classes, self._type)

    def add(self, rows: slice, columns: slice, kernels: Sequence[Tensor], sums: Sequence[Tensor]) -> None:
        """Add the sums of one block.

        Args:
            rows: samples whose sums are added to.
            columns: samples that are summed over: all rows or none are among them.
            kernels: of each kind `(rows, columns)`; the kernel of a sample with itself is 1.
            sums: of each kind `(rows,)` sums of the rows.
        """
        itself = int(columns.start <= rows.start < columns.stop)
        number = columns.stop - columns.start - itself
        rest = [one - itself for one in sums]
        kinds = [kind for kind, one in enumerate(rest) if one.max().item() > NEGLIGIBLE]
        if not (kinds and number and self._labels.shape[1]):
            return
        for part in _chunks(self._labels.shape[1], self._classes):
            own, indicators = self._labels[rows, part, None], self._columns(columns, part)
            members = self._members(columns, part).gather(1, self._labels[rows, part].T).T - itself
            for kind in kinds:
                some = (rest[kind] > NEGLIGIBLE).nonzero().squeeze(1)
                chosen = some if len(some) < MOST_ROWS * len(own) else slice(None)
                mean = rest[kind][chosen, None] / number
                differences = (kernels[kind][chosen] - mean).to(self._type)
                if itself:
                    places = torch.arange(rows.start, rows.stop, device=mean.device)[chosen] - columns.start
                    differences.scatter_(1, places[:, None], 0.0)
                rounding = differences.sum(dim=1, keepdim=True, dtype=torch.float) / number
                by_class = (differences @ indicators).view(len(mean), -1, self._classes)
                found = by_class.gather(2, own[chosen]).squeeze(2) + members[chosen] * (mean - rounding)
                self.others[kind, rows, part][chosen] += found

    def of_own_class(self) -> Tensor:
        """Return the sums over the own class, `(kinds, samples, permutations)`."""
        return 1 + self.others

    def _members(self, columns: slice, part: slice) -> Tensor:
        """Return how many of the columns are in each class, `(permutations, classes)`."""
        key = columns.start, columns.stop, part.start
        if key not in self._counted:
            self._counted[key] = one_hot(self._labels[columns, part], self._classes, torch.float).sum(dim=0)
        return self._counted[key]

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
