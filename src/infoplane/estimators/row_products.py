"""Products of all pairs of centred samples in float32, in blocks, kept where several estimators need them."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.features import FeaturePieces, feature_pieces

BLOCK = 512  # samples; larger blocks waste more of the diagonal, smaller ones slow the products down
STEPS = 4  # in which blocks on the diagonal are computed: each leaves out what an earlier one has
CACHED = 2**17  # numbers of rows that are centred at a time
STORAGE_BYTES = 256 * 2**20  # for numbers kept between passes, and the same again for current products

# Rounding of a product of centred rows, in units of (|x|^2 + |y|^2) / 2^24: measured for 300 to 65,536 features,
# dense, sparse and nearly equal rows: root mean square below 5, mean below 0.05.
ROUNDING = 16.0

Pair = tuple[int, int]  # numbers of two blocks of samples, the first not after the second


class RowProducts(NamedTuple):
    """Products of centred rows in a given order.

    Attributes:
        order: `(samples,)` a permutation of the samples.
        blocks: slices into the order.
        products: float32, by the numbers of two blocks; they are not to be modified.
        norms: `(samples,)` float64, squared norms of the centred rows, from the first sample of `products` on.
    """

    order: Tensor
    blocks: list[slice]
    products: dict[Pair, Tensor]
    norms: Tensor

    def rows(self, block: int) -> Tensor:
        """Return the products of one block with all samples, `(rows, samples)`."""
        before = [self.products[other, block].T for other in range(block)]
        return torch.cat([*before, *(self.products[block, other] for other in range(block, len(self.blocks)))], dim=1)

    def row_sums(self) -> Tensor:
        """Return the sum of each row of products, `(samples,)` float64."""
        sums = torch.zeros(len(self.order), dtype=torch.double, device=self.order.device)
        for (i, j), block in self.products.items():
            sums[self.blocks[i]] += block.sum(dim=1, dtype=torch.double)
            if i != j:
                sums[self.blocks[j]] += block.sum(dim=0, dtype=torch.double)
        return sums


class SharedPieces(FeaturePieces):
    """Activations of one layer that several estimators use. They compute the products of its rows once.

    The products are kept while they fit `STORAGE_BYTES` (up to 11,000 samples), for one order of the samples.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        storage_bytes: as of `FeaturePieces`; None: that of the pieces.

    Raises:
        ValueError: `activations` are outside the description above.
    """

    def __init__(self, activations: Tensor | FeaturePieces, *, storage_bytes: int | None = None) -> None:
        pieces = feature_pieces(activations)
        for _ in pieces.chunks():  # pieces are checked once, here
            pass
        super().__init__(
            pieces.read,
            samples=pieces.samples,
            features=pieces.features,
            dtype=pieces.dtype,
            device=pieces.device,
            storage_bytes=pieces.storage_bytes if storage_bytes is None else storage_bytes,
        )
        object.__setattr__(self, "_kept", None)

    _kept: RowProducts | None

    def piece(self, columns: slice) -> Tensor:
        """Return the features `columns`, `(samples, width)`. Do not modify the result."""
        return self.read(columns).to(self.device)

    def row_products(self, order: Tensor) -> RowProducts:
        """Return all products in this order; keep them if they fit."""
        if self._kept is not None and torch.equal(self._kept.order, order):
            return self._kept
        found = all_products(self, order)
        if fits(self.samples):
            object.__setattr__(self, "_kept", found)
        return found

    def forget_products(self) -> None:
        """Free the memory of the products."""
        object.__setattr__(self, "_kept", None)

    def kept_with(self, other: "SharedPieces") -> tuple[RowProducts, RowProducts] | None:
        """Return the products that both keep, if they do, of the same samples in one order."""
        one, two = self._kept, other._kept
        return (one, two) if one is not None and two is not None and torch.equal(one.order, two.order) else None


def fits(samples: int) -> bool:
    """Return whether all products of so many samples fit `STORAGE_BYTES`."""
    return 2 * samples * samples <= STORAGE_BYTES


def storage_of(pieces: FeaturePieces) -> int:
    """Return how many bytes the products of these rows may take."""
    return STORAGE_BYTES if pieces.storage_bytes is None else pieces.storage_bytes


def all_products(pieces: FeaturePieces, order: Tensor) -> RowProducts:
    """Return the products of all pairs of rows in this order."""
    blocks = blocks_of(pieces.samples)
    return products_of_rows(pieces, order, blocks, pairs_of(blocks))


def blocks_of(samples: int) -> list[slice]:
    """Divide samples evenly into slices of at most `BLOCK`."""
    count = math.ceil(samples / BLOCK)
    edges = [samples * index // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def pairs_of(blocks: Sequence[slice]) -> list[Pair]:
    """Return the upper triangle of pairs of blocks."""
    return list(itertools.combinations_with_replacement(range(len(blocks)), 2))


def products_of_rows(
    pieces: FeaturePieces, order: Tensor, blocks: Sequence[slice], pairs: Sequence[Pair]
) -> RowProducts:
    """Compute products of rows around their common centre. The features are read once.

    Args:
        pieces: activations `(samples, features)`.
        order: `(samples,)` a permutation of the samples.
        blocks: slices into the order.
        pairs: of blocks, those of the first block first.
    """
    first = blocks[pairs[0][0]].start
    norms = torch.zeros(pieces.samples - first, dtype=torch.double, device=pieces.device)
    sides = [slice(max(0, block.start - first), max(0, block.stop - first)) for block in blocks]
    products: dict[Pair, Tensor] = {}
    for columns, piece in pieces.chunks():
        part = centred_rows(piece, order[first:], norms)
        for i, j in pairs:
            x, y = part[sides[i]], part[sides[j]]
            if columns.start == 0:
                products[i, j] = x.new_zeros((len(x), len(y))) if i == j else x @ y.T
            elif i != j:
                products[i, j].addmm_(x, y.T)
            if i == j:
                _add_upper_part(products[i, j], x)
    for i, j in pairs:
        if i == j:
            products[i, j] = products[i, j].triu() + products[i, j].triu(1).T
    return RowProducts(order, list(blocks), products, norms)


def _add_upper_part(products: Tensor, rows: Tensor) -> None:
    """Add the products of rows with each other on and above the diagonal, and some below it."""
    step = max(1, math.ceil(len(rows) / STEPS))
    for start in range(0, len(rows), step):
        products[start : start + step, start:].addmm_(rows[start : start + step], rows[start:].T)


def centred_rows(piece: Tensor, order: Tensor, norms: Tensor | None = None) -> Tensor:
    """Return rows of one piece of the features in this order, less their mean, in float32; add squared norms."""
    piece = piece if piece.dtype == torch.double else piece.float()
    whole = len(order) == len(piece)
    mean = (piece if whole else piece.index_select(0, order)).mean(dim=0)
    rows = torch.empty((len(order), piece.shape[1]), dtype=torch.float, device=piece.device)
    step = max(1, CACHED // piece.shape[1])
    for start in range(0, len(order), step):  # a few rows stay in the cache between operations
        chosen = slice(start, start + step)
        part = rows[chosen].copy_(piece.index_select(0, order[chosen]).sub_(mean))
        if norms is not None:
            norms[chosen] += part.double().square_().sum(dim=1)
    return rows
