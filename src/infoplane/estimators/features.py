"""Activations that are read in pieces of features, so that they need not fit in memory."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least
from infoplane.estimators.distinct_rows import distinct_rows
from infoplane.records.short_repr import with_short_repr

CHUNK_BYTES = 128 * 2**20  # size of one piece, in the type it is computed in
CHUNK_FEATURES = 4096
HASHED_FEATURES = 1024  # at a time: most rows differ within the first few


@with_short_repr
@dataclass(frozen=True)
class FeaturePieces:
    """Activations `(samples, features)` that a function reads in pieces of features.

    Estimators that accept them read the features from first to last, some estimators several times, and keep one piece
    in memory. For an array on disk use `read=lambda columns: torch.tensor(array[:, columns])`.

    Args:
        read: from a slice of features to `(samples, width)`, finite, of type `dtype`, on CPU or CUDA; equal slices
            give equal pieces.
        samples: at least 1.
        features: at least 1.
        dtype: any float type.
        device: device to compute on; pieces are moved there.
        storage_bytes: how much the products of all pairs of samples may take where they are computed, and as much again
            where they are kept. With more, the features are read less often; values change by rounding only. None:
            256 MiB (`row_products.STORAGE_BYTES`).

    Raises:
        ValueError: sizes or type are outside the description above, or, when it is read, a piece is.
    """

    read: Callable[[slice], Tensor]
    _: KW_ONLY
    samples: int
    features: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")  # noqa: RUF009  immutable
    storage_bytes: int | None = None

    def __post_init__(self) -> None:
        check_at_least(self.samples, 1, name="samples")
        check_at_least(self.features, 1, name="features")
        if not self.dtype.is_floating_point:
            raise ValueError(f"dtype must be a float type, got {self.dtype}")
        if self.storage_bytes is not None:
            check_at_least(self.storage_bytes, 1, name="storage_bytes")

    def piece(self, columns: slice) -> Tensor:
        """Return the features `columns`, `(samples, width)`. Do not modify the result."""
        piece = self.read(columns)
        expected, name = (self.samples, columns.stop - columns.start), f"features {columns.start} to {columns.stop}"
        if piece.shape != expected or piece.dtype != self.dtype:
            raise ValueError(
                f"{name} must be read as {expected}, {self.dtype}, got {tuple(piece.shape)}, {piece.dtype}"
            )
        check_activations(piece, name=name)
        return piece.to(self.device)

    def chunks(self, *, value_bytes: int = 4, most: int = CHUNK_FEATURES) -> Iterator[tuple[slice, Tensor]]:
        """Yield all features once, in pieces that fit `CHUNK_BYTES` at `value_bytes` per number."""
        width = max(1, min(most, CHUNK_BYTES // (max(value_bytes, self.dtype.itemsize) * self.samples)))
        for start in range(0, self.features, width):
            columns = slice(start, min(start + width, self.features))
            yield columns, self.piece(columns)


class _TensorPieces(FeaturePieces):
    """Pieces of a tensor that was checked as a whole."""

    def piece(self, columns: slice) -> Tensor:
        return self.read(columns)


def feature_pieces(activations: Tensor | FeaturePieces) -> FeaturePieces:
    """Return activations as pieces. A tensor is checked now; pieces are checked when they are read."""
    if isinstance(activations, FeaturePieces):
        return activations
    check_activations(activations)
    whole = activations.detach()
    samples, features = whole.shape
    return _TensorPieces(
        lambda columns: whole[:, columns], samples=samples, features=features, dtype=whole.dtype, device=whole.device
    )


def row_identities(pieces: FeaturePieces, suspects: Tensor | None = None) -> Tensor:
    """Return one integer per sample, `(samples,)` int64 on the CPU, equal exactly where rows are equal.

    Args:
        pieces: activations `(samples, features)`.
        suspects: `(samples,)` integers that are equal wherever rows are equal; None: all rows may be.
    """
    identities = torch.zeros(pieces.samples, dtype=torch.int64) if suspects is None else suspects
    for _, piece in pieces.chunks(most=HASHED_FEATURES):
        identities = distinct_rows(piece, identities)
        if len(torch.unique(identities)) == pieces.samples:
            break
    return identities
