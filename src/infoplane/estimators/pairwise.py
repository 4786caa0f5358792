"""Gaussian kernels of all pairs of samples, in blocks, in float32 where that is precise enough, else in float64."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.distributed.team import ALONE, Team
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.row_products import (
    ROUNDING,
    Pair,
    SharedPieces,
    blocks_of,
    fits,
    pairs_of,
    products_of_rows,
    storage_of,
)

NARROW = 32  # up to this many features, float64 costs almost nothing
TOLERANCE = 5e-4  # nats: largest mean change of the samples' log-sums by the rounding of one block
# exp(-21.5) is negligible beside a sample's own 1, and its fourth power is no denormal number, which would be slow.
LARGEST_EXPONENT = 21.5

# From pairs of blocks to each pair with its exponents, float32, and a bound on their error.
Exponents = Callable[[list[Pair]], Iterator[tuple[Pair, Tensor, float]]]


class Kind(NamedTuple):
    """The kernels of one block at one width.

    Attributes:
        kernel: float32 `(rows, columns)`.
        row_sums: `(rows,)` float32.
        column_sums: `(columns,)` float32.
    """

    kernel: Tensor
    row_sums: Tensor
    column_sums: Tensor


class KernelBlocks:
    """The kernels exp(-|x_i - x_j|^2 / (8 noise_variance)) of samples taken in a given order.

    Iteration yields `(rows, columns, kernels)` for the upper triangle of blocks, with `rows` before or equal to
    `columns`: two slices into the order, and for each noise variance a float32 tensor `(rows, columns)`. Iteration may
    be repeated. Kernels, or else their exponents, that fit the storage of the pieces are kept for the next pass; others
    are computed again.

    Distances come from products of centred float32 rows, whose rounding errors are bounded from the norms. If rounding
    could change the log of a sample's kernel sum by more than `TOLERANCE` on average over a block, at the width 8 or 2
    noise_variance, the block is computed again in float64 around its own centre. If that is not precise enough either,
    it is computed from differences. Far pairs never need it, since their kernels vanish. Each method reads the features
    once for as many blocks as fit the storage of the pieces; `SharedPieces` keep the products for other estimators.

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
        self.blocks = blocks_of(self.samples)
        self.pairs = team.deal(pairs_of(self.blocks))
        # Exponents are those of the smallest noise variance; larger ones scale them down.
        self._width = 8 * min(noise_variances)
        self._shrinking = [min(noise_variances) / variance for variance in noise_variances]
        self._stored: dict[Pair, list[Tensor]] = {}  # kernels of both kinds at each noise variance, or exponents alone

    def __iter__(self) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        for rows, columns, kernels in self.both_kinds():
            yield rows, columns, kernels[::2]

    def both_kinds(self) -> Iterator[tuple[slice, slice, list[Tensor]]]:
        """Yield rows, columns and both kinds of kernels at the first noise variance, at the second, and so on."""
        if not self._stored:
            for rows, columns, kinds in self.summed():
                yield rows, columns, [kind.kernel for kind in kinds]
            return
        for (i, j), stored in self._stored.items():
            kernels = stored
            if len(stored) == 1:
                lower = [_kernel(stored[0], factor, diagonal=i == j) for factor in self._shrinking]
                kernels = [kind for kernel in lower for kind in (kernel, fourth_power(kernel))]
            yield self.blocks[i], self.blocks[j], kernels

    def summed(self) -> Iterator[tuple[slice, slice, list[Kind]]]:
        """Yield what `both_kinds` does, with the sums of rows and columns."""
        triangle = sum(4 * self._size(pair) for pair in self.pairs)
        keep_kernels = 2 * len(self._shrinking) * triangle <= storage_of(self.pieces)
        keep = triangle <= storage_of(self.pieces)
        fresh: dict[Pair, list[Tensor]] = {}
        ways: list[tuple[int, Exponents]] = [(4, self._products), (8, self._precise_products), (8, self._differences)]
        for pair, exponents, kinds in self._settled(self.pairs, ways[self.pieces.features <= NARROW :]):
            if keep:
                fresh[pair] = [kind.kernel for kind in kinds] if keep_kernels else [exponents]
            yield self.blocks[pair[0]], self.blocks[pair[1]], kinds
        self._stored = fresh

    def _settled(
        self, pairs: list[Pair], ways: Sequence[tuple[int, Exponents]]
    ) -> Iterator[tuple[Pair, Tensor, list[Kind]]]:
        """Yield exponents and kernels of pairs, each by the first method that is precise enough."""
        (value_bytes, method), *finer = ways
        unsettled: list[Pair] = []
        for group in self._groups(pairs, value_bytes):
            for pair, exponents, error in method(group):
                kinds = [_kinds(exponents, factor, diagonal=pair[0] == pair[1]) for factor in self._shrinking]
                if finer and not self._harmless(exponents, kinds, error, diagonal=pair[0] == pair[1]):
                    unsettled.append(pair)
                else:
                    yield pair, exponents, [kind for both in kinds for kind in both]
        if unsettled:
            self.recomputed += len(unsettled)
            yield from self._settled(unsettled, finer)

    def _harmless(self, exponents: Tensor, kinds: list[tuple[Kind, Kind]], error: float, *, diagonal: bool) -> bool:
        return all(
            _harmless(exponents, factor, both, error * factor, diagonal=diagonal)
            for factor, both in zip(self._shrinking, kinds, strict=True)
        )

    def _size(self, pair: Pair) -> int:
        return math.prod(self.blocks[index].stop - self.blocks[index].start for index in pair)

    def _groups(self, pairs: list[Pair], value_bytes: int) -> Iterator[list[Pair]]:
        """Split pairs into groups whose values fit the storage of the pieces."""
        group, group_bytes = list[Pair](), 0
        for pair in pairs:
            pair_bytes = value_bytes * self._size(pair)
            if group and group_bytes + pair_bytes > storage_of(self.pieces):
                yield group
                group, group_bytes = [], 0
            group.append(pair)
            group_bytes += pair_bytes
        if group:
            yield group

    def _products(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield exponents from float32 products of rows around their common centre."""
        first = 0
        if isinstance(self.pieces, SharedPieces) and self.team is ALONE and fits(self.samples):
            found, shared = self.pieces.row_products(self.order), True
        else:
            found, shared = products_of_rows(self.pieces, self.order, self.blocks, pairs), False
            first = self.blocks[pairs[0][0]].start
        norms = found.norms / self._width
        sides = {
            index: norms[_moved(self.blocks[index], first)] for index in {index for pair in pairs for index in pair}
        }
        largest = {index: side.max().item() for index, side in sides.items()}
        sides = {index: side.float() for index, side in sides.items()}
        for i, j in pairs:
            product = found.products[i, j] if shared else found.products.pop((i, j))
            exponents = (sides[i][:, None] + sides[j]).sub_(product, alpha=2 / self._width)
            yield (i, j), exponents, ROUNDING * 2.0**-24 * (largest[i] + largest[j])

    def _precise_products(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield exponents from float64 products of rows, each block around its own centre."""
        products: dict[Pair, Tensor] = {}
        norms: dict[Pair, list[Tensor]] = {}
        for _, piece in self.pieces.chunks():
            for pair in pairs:
                x, y = self._sides(piece, pair)
                centre = (x.mean(dim=0) + y.mean(dim=0)) / 2
                own = [side.sub_(centre).square().sum(dim=1) for side in (x, y)]
                if pair not in products:
                    products[pair], norms[pair] = x @ y.T, own
                else:
                    products[pair].addmm_(x, y.T)
                    norms[pair] = [norm + more for norm, more in zip(norms[pair], own, strict=True)]
        for pair in pairs:
            x_norms, y_norms = norms[pair]
            error = ROUNDING * 2.0**-53 * (x_norms.max().item() + y_norms.max().item()) / self._width
            squared = (x_norms[:, None] + y_norms).sub_(products.pop(pair), alpha=2)
            yield pair, squared.div_(self._width).float(), error

    def _differences(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Tensor, float]]:
        """Yield exponents from differences in float64: slow, but precise for any finite input."""
        squared = self._zeros(pairs)
        for _, piece in self.pieces.chunks():
            for pair in pairs:
                x, y = self._sides(piece, pair)
                squared[pair] += torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
        for pair in pairs:
            yield pair, squared.pop(pair).div_(self._width).float(), 0.0

    def _zeros(self, pairs: list[Pair]) -> dict[Pair, Tensor]:
        lengths = [block.stop - block.start for block in self.blocks]
        return {
            (i, j): torch.zeros((lengths[i], lengths[j]), dtype=torch.double, device=self.pieces.device)
            for i, j in pairs
        }

    def _sides(self, piece: Tensor, pair: Pair) -> list[Tensor]:
        return [piece.index_select(0, self.order[self.blocks[index]]).double() for index in pair]


def _moved(block: slice, first: int) -> slice:
    return slice(block.start - first, block.stop - first)


def _kernel(exponents: Tensor, factor: float, *, diagonal: bool) -> Tensor:
    kernel = exponents.mul(-factor).clamp_(-LARGEST_EXPONENT, 0).exp_()
    if diagonal:  # a sample's distance to itself is exactly 0
        kernel.fill_diagonal_(1)
    return kernel


def _kinds(exponents: Tensor, factor: float, *, diagonal: bool) -> tuple[Kind, Kind]:
    kernel = _kernel(exponents, factor, diagonal=diagonal)
    lower, upper = (Kind(one, one.sum(dim=1), one.sum(dim=0)) for one in (kernel, fourth_power(kernel)))
    return lower, upper


def fourth_power(kernel: Tensor) -> Tensor:
    """Return exp(-d / 2s) from exp(-d / 8s), so that one exponential is enough for both bounds."""
    return kernel.square().square_()


def _harmless(exponents: Tensor, factor: float, kinds: tuple[Kind, Kind], error: float, *, diagonal: bool) -> bool:
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
        kinds = _kinds(exponents - error / factor, factor, diagonal=diagonal)
    for power, kind in zip((1, 4), kinds, strict=True):
        for total in (kind.row_sums,) if diagonal else (kind.row_sums, kind.column_sums):
            sums = (total.double() - int(diagonal)).clamp_(min=0) * inflation**power
            moved = torch.minimum(power * error * sums / (1 + sums), sums.log1p())
            if not moved.mean().item() <= TOLERANCE:
                return False
    return True
