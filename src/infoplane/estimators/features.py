"""Activations whose features are read in pieces, so that they never stand in memory at once."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least
from infoplane.estimators.distinct_rows import distinct_rows
from infoplane.records.short_repr import with_short_repr

CHUNK_BYTES = 128 * 2**20  # of one piece, as it is worked on
CHUNK_FEATURES = 4096
HASHED_FEATURES = 1024  # at a time: most rows differ within the first few


@with_short_repr
@dataclass(frozen=True)
class FeaturePieces:
    """Activations `(samples, features)` that a function hands out in pieces of features.

    Estimators that take it read features from first to last, some of them several times, and keep no more than one
    piece: of an array on disk, say, with `read=lambda columns: torch.tensor(array[:, columns])`.

    Args:
        read: from a slice of features to `(samples, width)`, finite, of type `dtype`, on CPU or CUDA; equal slices
            give equal pieces.
        samples: at least 1.
        features: at least 1.
        dtype: any float type.
        device: where to work; pieces are moved there.

    Raises:
        ValueError: sizes or type are outside the description above; when it is read, a piece.
    """

    read: Callable[[slice], Tensor]
    _: KW_ONLY
    samples: int
    features: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")  # noqa: RUF009  immutable

    def __post_init__(self) -> None:
        check_at_least(self.samples, 1, name="samples")
        check_at_least(self.features, 1, name="features")
        if not self.dtype.is_floating_point:
            raise ValueError(f"dtype must be a float type, got {self.dtype}")

    def piece(self, columns: slice) -> Tensor:
        """Return the features `columns`, `(samples, width)`; not to be written to."""
        piece = self.read(columns)
        expected, name = (self.samples, columns.stop - columns.start), f"features {columns.start} to {columns.stop}"
        if piece.shape != expected or piece.dtype != self.dtype:
            raise ValueError(
                f"{name} must be read as {expected}, {self.dtype}, got {tuple(piece.shape)}, {piece.dtype}"
            )
        check_activations(piece, name=name)
        return piece.to(self.device)

    def chunks(self, *, value_bytes: int = 4, most: int = CHUNK_FEATURES) -> Iterator[tuple[slice, Tensor]]:
        """Go through all features once, in pieces that fit `CHUNK_BYTES`, also at `value_bytes` a number."""
        width = max(1, min(most, CHUNK_BYTES // (max(value_bytes, self.dtype.itemsize) * self.samples)))
        for start in range(0, self.features, width):
            columns = slice(start, min(start + width, self.features))
            yield columns, self.piece(columns)


class _TensorPieces(FeaturePieces):
    """Columns of a tensor that has been checked as a whole."""

    def piece(self, columns: slice) -> Tensor:
        return self.read(columns)


def feature_pieces(activations: Tensor | FeaturePieces) -> FeaturePieces:
    """Give a tensor the form in which every estimator of pairs reads; check it, where pieces are checked when read."""
    if isinstance(activations, FeaturePieces):
        return activations
    check_activations(activations)
    whole = activations.detach()
    samples, features = whole.shape
    return _TensorPieces(
        lambda columns: whole[:, columns], samples=samples, features=features, dtype=whole.dtype, device=whole.device
    )


def row_identities(pieces: FeaturePieces) -> Tensor:
    """Return one integer per sample, `(samples,)` int64 on the CPU, equal exactly where rows are equal."""
    identities = torch.zeros(pieces.samples, dtype=torch.int64)
    for _, piece in pieces.chunks(most=HASHED_FEATURES):
        identities = distinct_rows(piece, identities)
        if len(torch.unique(identities)) == pieces.samples:
            break
    return identities
