"""Gaussian kernels of all pairs of samples, in blocks, in float32 where that is precise enough, else in float64."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from infoplane.distributed.team import ALONE, Team
from infoplane.estimators.features import FeaturePieces

BLOCK = 512  # samples; larger blocks waste more of the diagonal, smaller ones slow the products down
STORAGE_BYTES = 256 * 2**20  # for exponents kept between passes, and the same again for current products
NARROW = 256  # up to this many features, float64 costs almost nothing

# Rounding of a product of centred rows, in units of (|x|^2 + |y|^2) / 2^24: measured for 300 to 65,536 features,
# dense, sparse and nearly equal rows: root mean square below 5, mean below 0.05.
ROUNDING = 16.0
TOLERANCE = 5e-4  # nats: largest mean change of the samples' log-sums by the rounding of one block
LARGEST_EXPONENT = 40.0  # exp(-40) is negligible beside a sample's own 1; without this limit, denormal numbers are slow

Pair = tuple[int, int]  # numbers of two blocks of samples, the first not after the second
# From pairs of blocks to each pair with its squared distances, float64, and a bound on their error.
Distances = Callable[[list[Pair]], Iterator[tuple[Pair, Tensor, float]]]


class KernelBlocks:
    """The kernels exp(-|x_i - x_j|^2 / (8 noise_variance)) of samples taken in a given order.

    Iteration yields `(rows, columns, kernels)` for the upper triangle of blocks, with `rows` before or equal to
    `columns`: two slices into the order, and for each noise variance a float32 tensor `(rows, columns)`. Iteration may
    be repeated. Exponents that fit `STORAGE_BYTES` are kept for the next pass; others are computed again.

    Distances come from products of centred float32 rows, whose rounding errors are bounded from the norms. If rounding
    could change the log of a sample's kernel sum by more than `TOLERANCE` on average over a block, at the width 8 or 2
    noise_variance, the block is computed again in float64 around its own centre. If that is not precise enough either,
    it is computed from differences. Far pairs never need it, since their kernels vanish. Each method reads the features
    once for as many blocks as fit `STORAGE_BYTES`.

    Args:
        pieces: activations `(samples, features)`.
        order: `(samples,)` a permutation of the samples; neighbours in it share blocks.
        noise_variances: positive, in squared activation units.
        team: processes that share the blocks.
    """

    def __init__(
        self, pieces: FeaturePieces, order: Tensor, noise_variances: Sequence[float], team: Team = ALONE
    ) -> None:
        self.pieces = pieces
        self.order = order.to(pieces.device)
        self.samples = pieces.samples
        self.noise_variances = noise_variances
        self.team = team
        self.recomputed = 0  # blocks for which the first method was not precise enough
        count = math.ceil(self.samples / BLOCK)
        edges = [self.samples * index // count for index in range(count + 1)]
        self.blocks = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
        self.pairs = team.deal(list(itertools.combinations_with_replacement(range(count), 2)))
        # Exponents are those of the smallest noise variance; larger ones scale them down.
        self._width = 8 * min(noise_variances)
        self._shrinking = [min(noise_variances) / variance for variance in noise_variances]
        self._stored: dict[Pair, Tensor] = {}

    def __iter__(self) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        if self._stored:
            for (i, j), exponents in self._stored.items():
                yield self.blocks[i], self.blocks[j], list(self._kernels(exponents, diagonal=i == j))
            return
        keep = sum(4 * self._size(pair) for pair in self.pairs) <= STORAGE_BYTES
        fresh: dict[Pair, Tensor] = {}
        ways: list[tuple[int, Distances]] = [(4, self._products), (8, self._precise_products), (8, self._differences)]
        for pair, exponents, kernels in self._settled(self.pairs, ways[self.pieces.features <= NARROW :]):
            if keep:
                fresh[pair] = exponents
            yield self.blocks[pair[0]], self.blocks[pair[1]], kernels
        self._stored = fresh

    def _settled(
        self, pairs: list[Pair], ways: Sequence[tuple[int, Distances]]
    ) -> Iterator[tuple[Pair, Tensor, list[Tensor]]]:
        """Yield exponents and kernels of pairs, each by the first method that is precise enough."""
        (value_bytes, distances), *finer = ways
        unsettled: list[Pair] = []
        for group in self._groups(pairs, value_bytes):
            for pair, squared, error in distances(group):
                diagonal = pair[0] == pair[1]
                exponents = squared.div_(self._width).float()
                kernels = list(self._kernels(exponents, diagonal=diagonal))
                if finer and not self._harmless(kernels, exponents, error / self._width, diagonal=diagonal):
                    unsettled.append(pair)
                else:
                    yield pair, exponents, kernels
        if unsettled:
            self.recomputed += len(unsettled)
            yield from self._settled(unsettled, finer)

    def _kernels(self, exponents: Tensor, *, diagonal: bool) -> Iterator[Tensor]:
        for factor in self._shrinking:
            yield _kernel(exponents * factor, diagonal=diagonal)

    def _harmless(self, kernels: list[Tensor], exponents: Tensor, error: float, *, diagonal: bool) -> bool:
        return all(
            _harmless(kernel, exponents * factor, error * factor, diagonal=diagonal)
            for kernel, factor in zip(kernels, self._shrinking, strict=True)
        )

    def _size(self, pair: Pair) -> int:
        return math.prod(self.blocks[index].stop - self.blocks[index].start for index in pair)

    def _groups(self, pairs: list[Pair], value_bytes: int) -> Iterator[list[Pair]]:
        """Split pairs into groups whose values fit `STORAGE_BYTES`."""
        group, group_bytes = list[Pair](), 0
        for pair in pairs:
            pair_bytes = value_bytes * self._size(pair)
            if group and group_bytes + pair_bytes > STORAGE_BYTES:
                yield group
                group, group_bytes = [], 0
            group.append(pair)
            group_bytes += pair_bytes
        if group:
            yield group

    def _products(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield distances from float32 products of rows around their common centre."""
        first = self.blocks[pairs[0][0]].start
        norms = torch.zeros(self.samples - first, dtype=torch.double, device=self.pieces.device)
        sides = [slice(max(0, block.start - first), max(0, block.stop - first)) for block in self.blocks]
        products: dict[Pair, Tensor] = {}
        for columns, piece in self.pieces.chunks():
            part = piece.index_select(0, self.order[first:])
            part = part if part.dtype == torch.double else part.float()
            part = part.sub_(part.mean(dim=0)).float()
            norms += torch.linalg.vector_norm(part, dim=1, dtype=torch.double).square()
            for i, j in pairs:
                if columns.start == 0:
                    products[i, j] = part[sides[i]] @ part[sides[j]].T
                else:
                    products[i, j].addmm_(part[sides[i]], part[sides[j]].T)
        largest = {index: norms[sides[index]].max().item() for index in {index for pair in pairs for index in pair}}
        for i, j in pairs:
            squared = (norms[sides[i], None] + norms[None, sides[j]]).sub_(products.pop((i, j)), alpha=2)
            yield (i, j), squared, ROUNDING * 2.0**-24 * (largest[i] + largest[j])

    def _precise_products(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield distances from float64 products of rows, each block around its own centre."""
        products = self._zeros(pairs)
        norms = {
            pair: [torch.zeros_like(matrix[:, 0]), torch.zeros_like(matrix[0])] for pair, matrix in products.items()
        }
        for _, piece in self.pieces.chunks():
            for pair in pairs:
                x, y = self._sides(piece, pair)
                centre = (x.mean(dim=0) + y.mean(dim=0)) / 2
                for norm, side in zip(norms[pair], (x, y), strict=True):
                    norm += side.sub_(centre).square().sum(dim=1)
                products[pair].addmm_(x, y.T)
        for pair in pairs:
            x_norms, y_norms = norms[pair]
            error = ROUNDING * 2.0**-53 * (x_norms.max().item() + y_norms.max().item())
            yield pair, (x_norms[:, None] + y_norms).sub_(products.pop(pair), alpha=2), error

    def _differences(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield distances from differences in float64: slow, but precise for any finite input."""
        squared = self._zeros(pairs)
        for _, piece in self.pieces.chunks():
            for pair in pairs:
                x, y = self._sides(piece, pair)
                squared[pair] += torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        for pair in pairs:
            yield pair, squared.pop(pair), 0.0

    def _zeros(self, pairs: list[Pair]) -> dict[Pair, Tensor]:
        lengths = [block.stop - block.start for block in self.blocks]
        return {
            (i, j): torch.zeros((lengths[i], lengths[j]), dtype=torch.double, device=self.pieces.device)
            for i, j in pairs
        }

    def _sides(self, piece: Tensor, pair: Pair) -> list[Tensor]:
        return [piece.index_select(0, self.order[self.blocks[index]]).double() for index in pair]


def _kernel(exponents: Tensor, *, diagonal: bool) -> Tensor:
    kernel = exponents.clamp(0, LARGEST_EXPONENT).neg_().exp_()
    if diagonal:  # a sample's distance to itself is exactly 0
        kernel.fill_diagonal_(1)
    return kernel


def fourth_power(kernel: Tensor) -> Tensor:
    """Return exp(-d / 2s) from exp(-d / 8s), so that one exponential is enough for both bounds."""
    return kernel.square().clamp_(min=math.exp(-LARGEST_EXPONENT)).square_()


def _harmless(kernel: Tensor, exponents: Tensor, error: float, *, diagonal: bool) -> bool:
    """Return whether exponent errors up to `error` change the logs of kernel sums by at most `TOLERANCE` on average.

    With S the sum of a row's kernels at their largest possible values, without its own kernel of 1, log(1 + S) changes
    by at most min(error S / (1 + S), log(1 + S)). For NaN the answer is no.
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
