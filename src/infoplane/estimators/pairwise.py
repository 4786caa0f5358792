"""Gaussian kernels of all pairs of samples: streamed in blocks, in float32 wherever float64 would say the same."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 512  # samples; larger blocks waste more of the diagonal, smaller ones more of the products' speed
STORAGE_BYTES = 256 * 2**20  # for kernels kept between passes, and again for products under way
CHUNK_BYTES = 128 * 2**20  # for centred features
CHUNK_FEATURES = 4096
NARROW = 256  # features up to which float64 costs next to nothing

# Rounding of a product of centred rows, in units of (|x|^2 + |y|^2) / 2^24: measured for 300 to 65,536 features,
# dense, sparse and nearly equal rows: root mean square below 5, mean below 0.05.
ROUNDING = 16.0
TOLERANCE = 5e-4  # nats that the rounding of one block may move its samples' log-sums, on average, at the worst
LARGEST_EXPONENT = 40.0  # exp(-40) vanishes beside a sample's own 1; without a cap, denormal numbers slow all down


class KernelBlocks:
    """The kernels exp(-|x_i - x_j|^2 / (8 noise_variance)) of samples taken in a given order.

    Iterating gives `(rows, columns, kernel)` for the upper triangle of blocks, `rows` before or equal to
    `columns`: slices into the order, and a float32 tensor `(rows, columns)`. It may be iterated repeatedly; kernels
    are kept for the next pass where the triangle fits `STORAGE_BYTES` and computed again where it does not.

    Products of centred float32 rows give the distances. Where their rounding, bounded from the norms, could move
    the log of a sample's kernel sum by more than `TOLERANCE` on average over a block, at either of the widths
    8 and 2 noise_variance, the block is computed again in float64 around its own centre, and, should even that
    be too coarse, from differences. Far pairs, whose kernels vanish, never need it.

    Args:
        activations: `(samples, features)`, finite, of any float type.
        order: `(samples,)` a permutation of the samples; neighbours in it share blocks.
        noise_variance: positive, in squared activation units.
    """

    def __init__(self, activations: Tensor, order: Tensor, noise_variance: float) -> None:
        if activations.device.type == "mps":  # has no float64
            activations = activations.cpu()
        self.activations = activations.detach()
        self.order = order.to(activations.device)
        self.noise_variance = noise_variance
        self.samples, self.features = activations.shape
        count = math.ceil(self.samples / BLOCK)
        edges = [self.samples * index // count for index in range(count + 1)]
        self.blocks = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
        self.recomputed = 0  # blocks that float32 could not settle
        self._work = torch.double if activations.dtype == torch.double else torch.float
        self._stored: dict[tuple[int, int], Tensor] = {}
        self._centre = torch.empty(self.features, dtype=self._work, device=activations.device)
        self.squared_norms = torch.zeros(self.samples, dtype=torch.double, device=activations.device)
        for columns in self._chunks(self.samples):
            part = self._gather(slice(0, self.samples), columns)
            self._centre[columns] = part.mean(dim=0)
            part = part.sub_(self._centre[columns]).float()
            self.squared_norms += torch.linalg.vector_norm(part, dim=1, dtype=torch.double).square()
        self._largest = [self.squared_norms[block].max().item() for block in self.blocks]

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        keep = 2 * self.samples**2 <= STORAGE_BYTES
        if self._stored:
            for (i, j), kernel in self._stored.items():
                yield self.blocks[i], self.blocks[j], kernel
            return
        fresh: dict[tuple[int, int], Tensor] = {}
        for pairs in self._groups():
            products = self._products(pairs)
            for pair in pairs:
                kernel = self._kernel(*pair, products.pop(pair, None))
                if keep:
                    fresh[pair] = kernel
                yield self.blocks[pair[0]], self.blocks[pair[1]], kernel
        self._stored = fresh

    def _chunks(self, rows: int) -> Iterator[slice]:
        width = max(1, min(self.features, CHUNK_FEATURES, CHUNK_BYTES // (4 * rows)))
        for start in range(0, self.features, width):
            yield slice(start, min(start + width, self.features))

    def _gather(self, rows: slice, columns: slice) -> Tensor:
        return self.activations[:, columns].index_select(0, self.order[rows]).to(self._work)

    def _groups(self) -> Iterator[list[tuple[int, int]]]:
        """Split the triangle into runs of whole rows of blocks whose products fit `STORAGE_BYTES`."""
        count, group, group_bytes = len(self.blocks), list[tuple[int, int]](), 0
        for i, block in enumerate(self.blocks):
            row_bytes = 4 * (block.stop - block.start) * (self.samples - block.start)
            if group and group_bytes + row_bytes > STORAGE_BYTES:
                yield group
                group, group_bytes = [], 0
            group += [(i, j) for j in range(i, count)]
            group_bytes += row_bytes
        yield group

    def _products(self, pairs: list[tuple[int, int]]) -> dict[tuple[int, int], Tensor]:
        """Return the float32 products of centred rows; the features pass by in chunks that all pairs share."""
        if self.features <= NARROW:
            return {}
        first = self.blocks[pairs[0][0]].start
        sums: dict[tuple[int, int], Tensor] = {}
        for columns in self._chunks(self.samples - first):
            part = self._gather(slice(first, self.samples), columns).sub_(self._centre[columns]).float()
            views = [part[max(0, block.start - first) : max(0, block.stop - first)] for block in self.blocks]
            for i, j in pairs:
                if columns.start == 0:
                    sums[i, j] = views[i] @ views[j].T
                else:
                    sums[i, j].addmm_(views[i], views[j].T)
        return sums

    def _kernel(self, i: int, j: int, products: Tensor | None) -> Tensor:
        width = 8 * self.noise_variance
        if products is not None:
            norms = self.squared_norms[self.blocks[i], None] + self.squared_norms[None, self.blocks[j]]
            exponents = norms.sub_(products, alpha=2).div_(width)
            kernel = _kernel(exponents, diagonal=i == j)
            error = ROUNDING * 2.0**-24 * (self._largest[i] + self._largest[j]) / width
            if _harmless(kernel, exponents, error, diagonal=i == j):
                return kernel
            self.recomputed += 1
        squared, error = self._precise(i, j)
        exponents = squared.div_(width)
        kernel = _kernel(exponents, diagonal=i == j)
        if _harmless(kernel, exponents, error / width, diagonal=i == j):
            return kernel
        return _kernel(self._direct(i, j).div_(width), diagonal=i == j)

    def _precise(self, i: int, j: int) -> tuple[Tensor, float]:
        """Squared distances of a block in float64 around its own centre, and a bound on their error."""
        rows, columns = self.blocks[i], self.blocks[j]
        products = self._zeros(i, j)
        norms = [torch.zeros(len(side), dtype=torch.double, device=side.device) for side in (products, products.T)]
        for chunk in self._chunks(self.samples):
            x, y = self._gather(rows, chunk).double(), self._gather(columns, chunk).double()
            centre = (x.mean(dim=0) + y.mean(dim=0)) / 2
            for norm, side in zip(norms, (x, y), strict=True):
                norm += side.sub_(centre).square().sum(dim=1)
            products.addmm_(x, y.T)
        error = ROUNDING * 2.0**-53 * sum(norm.max().item() for norm in norms)
        return (norms[0][:, None] + norms[1]).sub_(products, alpha=2), error

    def _direct(self, i: int, j: int) -> Tensor:
        """Squared distances of a block from differences in float64: slow, and right for any finite input."""
        squared = self._zeros(i, j)
        for chunk in self._chunks(self.samples):
            x, y = (self._gather(self.blocks[index], chunk).double() for index in (i, j))
            squared += torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        return squared

    def _zeros(self, i: int, j: int) -> Tensor:
        rows, columns = (self.blocks[index].stop - self.blocks[index].start for index in (i, j))
        return torch.zeros((rows, columns), dtype=torch.double, device=self.order.device)


def _kernel(exponents: Tensor, *, diagonal: bool) -> Tensor:
    kernel = exponents.clamp(0, LARGEST_EXPONENT).float().neg_().exp_()
    if diagonal:  # a sample's distance to itself is 0, not a rounding error
        kernel.fill_diagonal_(1)
    return kernel


def fourth_power(kernel: Tensor) -> Tensor:
    """Turn exp(-d / 8s) into exp(-d / 2s): one exponential serves both bounds."""
    return kernel.square().clamp_(min=math.exp(-LARGEST_EXPONENT)).square_()


def _harmless(kernel: Tensor, exponents: Tensor, error: float, *, diagonal: bool) -> bool:
    """Whether exponents wrong by up to `error` leave the logs of the kernel sums within `TOLERANCE` on average.

    With S the sum of a row's kernels at their largest possible values, its own kernel of 1 left out, the log of
    1 + S moves by at most min(error S / (1 + S), log(1 + S)). NaN is never harmless.
    """
    if 4 * error <= TOLERANCE:
        return True
    inflation = 1.0
    if error < 1:
        inflation = math.exp(error)
    else:
        kernel = _kernel(exponents - error, diagonal=diagonal)
    for power, similar in ((1, kernel), (4, fourth_power(kernel))):
        for dim in (1,) if diagonal else (0, 1):
            sums = (similar.sum(dim=dim).double() - int(diagonal)).clamp_(min=0) * inflation**power
            moved = torch.minimum(power * error * sums / (1 + sums), sums.log1p())
            if not moved.mean().item() <= TOLERANCE:
                return False
    return True
