"""Geometry of layer outputs, to compare with their information: alignment, clustering by class, and scale."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels
from infoplane.estimators.features import FeaturePieces, feature_pieces
from infoplane.estimators.precision import exact_products
from infoplane.estimators.propagation import centred_gram
from infoplane.estimators.row_products import RowProducts, SharedPieces
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help

CACHED = 2**17  # numbers of rows that are computed in float64 at a time
LEAST_SAMPLES = 4  # with fewer, the unbiased estimator divides by zero


@with_field_help
@with_short_repr
class CentredKernelAlignment(NamedTuple):
    """Similarity of two representations of the same samples; NaN if one of them is constant.

    The debiased value is NaN, too, where the unbiased estimate of a layer's own product is not positive.

    Attributes:
        linear: in [0, 1]; near 1 for any two layers with far more features than samples.
        debiased: the same from unbiased terms: 0 in expectation for unrelated layers, and so sometimes below.
    """

    linear: float
    debiased: float


def linear_cka(x: Tensor | SharedPieces, y: Tensor | SharedPieces) -> CentredKernelAlignment:
    """Compare the linear kernels of two layers. The result does not depend on rotation, offset or scale of either.

    With K = X X^T and L = Y Y^T of centred features, CKA = <K, L> / (|K| |L|) in Frobenius products. The debiased
    value replaces each product by the unbiased estimator of HSIC. If both layers have fewer features than samples, the
    products are computed between features, otherwise between samples. If other estimators have left the products
    between samples in `SharedPieces`, these are used: they are float32, which changes the values by less than 1e-6.

    Args:
        x: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; at least 4 samples.
        y: `(samples, other features)`, likewise, of the same samples.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Kornblith, Norouzi, Lee & Hinton (2019), arXiv:1905.00414, Section 3; unbiased HSIC: Song et al. (2012),
    JMLR 13, 1393, Equation 4, as in Nguyen, Raghu & Kornblith (2021), arXiv:2010.15327, Section 2.
    """
    kept = x.kept_with(y) if isinstance(x, SharedPieces) and isinstance(y, SharedPieces) else None
    x, y = (part.piece(slice(0, part.features)) if isinstance(part, SharedPieces) else part for part in (x, y))
    check_activations(x, name="x")
    check_activations(y, name="y")
    if len(x) != len(y) or len(x) < LEAST_SAMPLES:
        raise ValueError(
            f"x and y must have the same samples, at least {LEAST_SAMPLES}, got {len(x)} in x and {len(y)} in y"
        )
    if mean_unit_variance(x) == 0 or mean_unit_variance(y) == 0:
        return CentredKernelAlignment(math.nan, math.nan)
    with exact_products(x.device):
        if kept is not None:
            cross, own_x, own_y = _by_kept_products(*kept)
        else:
            products = _by_features if max(x.shape[1], y.shape[1]) < len(x) else _by_samples
            cross, own_x, own_y = products(x, y)
    return CentredKernelAlignment(
        linear=_ratio(cross.biased, own_x.biased, own_y.biased),
        debiased=_ratio(cross.unbiased, own_x.unbiased, own_y.unbiased),
    )


def class_clustering_index(activations: Tensor | FeaturePieces, labels: Tensor) -> float:
    """Return the share of a layer's variance that lies between the means of classes, corrected for chance.

    The index is 1 - W / T. W is the sum of squared distances of samples to the mean of their class over N - K, for N
    samples of K classes. T is the sum of squared distances to the mean of all samples over N - 1. The index is 1 if
    each class is one point, and its mean over permuted labels is exactly 0. Its smallest value is -(K - 1) / (N - K).
    The uncorrected share would be (K - 1) / (N - 1) on average over permuted labels.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.
        labels: `(samples,)` integers.

    Returns:
        The index; NaN if all samples are equal, or if each has a class of its own.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Kelley (1935), PNAS 21, 554 (the unbiased correlation ratio), summed over units; that compression in
    information planes follows clustering by class: Goldfeld et al. (2019), arXiv:1810.05728, Section 5.
    """
    pieces = feature_pieces(activations)
    check_labels(labels, pieces.samples)
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    counts = torch.bincount(classes).double()
    if len(counts) == len(classes):
        return math.nan
    within = between = 0.0
    order, counts = torch.argsort(classes, stable=True).to(pieces.device), counts.to(pieces.device)
    members = order.tensor_split(counts.cumsum(dim=0)[:-1].long().tolist())
    for piece in _wide_pieces(pieces):
        first = piece[0].double()
        means = torch.stack([_mean(piece, first, rows) for rows in members])
        # From differences: sums of squares less squares of means would lose tight classes to rounding.
        for mean, rows in zip(means, members, strict=True):
            within += sum(part.sub_(mean).square_().sum().item() for part in _shifted(piece, first, rows))
        centre = counts @ means / len(classes)
        between += (counts @ (means - centre).square()).sum().item()
    total = within + between
    if total == 0:
        return math.nan
    return 1 - (within / (len(classes) - len(counts))) / (total / (len(classes) - 1))


def activation_norm(activations: Tensor | FeaturePieces) -> float:
    """Return the root mean square, over samples, of the Euclidean norm of a layer's outputs.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.

    Raises:
        ValueError: `activations` is outside the description above.

    Source: definition.
    """
    pieces = feature_pieces(activations)
    squares = (part.square_().sum().item() for piece in _wide_pieces(pieces) for part in _shifted(piece))
    return math.sqrt(sum(squares) / pieces.samples)


def mean_unit_variance(activations: Tensor | FeaturePieces) -> float:
    """Return the variance across samples (divided by N), averaged over units, in squared activation units.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.

    Raises:
        ValueError: `activations` is outside the description above.

    Source: definition.
    """
    pieces, total = feature_pieces(activations), 0.0
    for _, piece in pieces.chunks(value_bytes=8):
        # Differences from a sample, not from the mean, are exactly 0 in a constant unit.
        first = piece[0].double()
        mean = _mean(piece, first)
        total += sum(part.sub_(mean).square_().sum().item() for part in _shifted(piece, first))
    return total / (pieces.samples * pieces.features)


class _Product(NamedTuple):
    """The Frobenius product of two kernels, and N (N - 3) times the unbiased estimator of their HSIC."""

    biased: float
    unbiased: float


def _by_features(x: Tensor, y: Tensor) -> tuple[_Product, _Product, _Product]:
    x, y = (torch.cat(list(_centred_pieces(part)), dim=1) for part in (x, y))
    norms_x, norms_y = x.square().sum(dim=1), y.square().sum(dim=1)

    def product(first: Tensor, second: Tensor, norms: Tensor, other_norms: Tensor) -> _Product:
        return _product((first.T @ second).square().sum().item(), norms, other_norms)

    return product(x, y, norms_x, norms_y), product(x, x, norms_x, norms_x), product(y, y, norms_y, norms_y)


def _by_samples(x: Tensor, y: Tensor) -> tuple[_Product, _Product, _Product]:
    kernel_x, kernel_y = centred_gram(feature_pieces(x)), centred_gram(feature_pieces(y))

    def product(first: Tensor, second: Tensor) -> _Product:
        return _product((first.ravel() @ second.ravel()).item(), first.diagonal(), second.diagonal())

    return product(kernel_x, kernel_y), product(kernel_x, kernel_x), product(kernel_y, kernel_y)


def _by_kept_products(x: RowProducts, y: RowProducts) -> tuple[_Product, _Product, _Product]:
    sums_x, sums_y = x.row_sums(), y.row_sums()
    norms_x, norms_y = (_centred_diagonal(one, sums) for one, sums in ((x, sums_x), (y, sums_y)))

    def product(first: RowProducts, second: RowProducts, sums: Tensor, other_sums: Tensor) -> float:
        """Return <HKH, HLH>, with H what centres: float32 leaves small sums of the rows."""
        whole = sum(
            (1 if i == j else 2) * (block * second.products[i, j]).sum(dtype=torch.double).item()
            for (i, j), block in first.products.items()
        )
        samples = len(sums)
        return whole - 2 / samples * (sums @ other_sums).item() + (sums.sum() * other_sums.sum()).item() / samples**2

    return (
        _product(product(x, y, sums_x, sums_y), norms_x, norms_y),
        _product(product(x, x, sums_x, sums_x), norms_x, norms_x),
        _product(product(y, y, sums_y, sums_y), norms_y, norms_y),
    )


def _centred_diagonal(products: RowProducts, sums: Tensor) -> Tensor:
    blocks = range(len(products.blocks))
    diagonal = torch.cat([products.products[block, block].diagonal() for block in blocks]).double()
    return diagonal - 2 / len(sums) * sums + sums.sum() / len(sums) ** 2


def _product(biased: float, norms: Tensor, other_norms: Tensor) -> _Product:
    """Remove the diagonals, `norms` and `other_norms`, from <K, L>.

    Rows of centred kernels sum to 0. Without the diagonal, row i sums to -K_ii and all rows to -tr K. So Song's three
    terms need only <K, L> and the diagonals.
    """
    samples = len(norms)
    diagonals = (norms @ other_norms).item()
    traces = norms.sum().item() * other_norms.sum().item()
    off_diagonal = biased - diagonals
    return _Product(biased, off_diagonal + traces / ((samples - 1) * (samples - 2)) - 2 * diagonals / (samples - 2))


def _ratio(cross: float, own: float, other: float) -> float:
    return cross / (math.sqrt(own) * math.sqrt(other)) if own > 0 and other > 0 else math.nan


def _wide_pieces(activations: Tensor | FeaturePieces) -> Iterator[Tensor]:
    for _, piece in feature_pieces(activations).chunks(value_bytes=8):
        yield piece


def _shifted(piece: Tensor, first: Tensor | None = None, rows: Tensor | None = None) -> Iterator[Tensor]:
    """Yield rows in float64, less the first sample, a few at a time: then they stay in the cache between operations."""
    step = max(1, CACHED // piece.shape[1])
    for start in range(0, len(piece) if rows is None else len(rows), step):
        chosen = slice(start, start + step)
        part = (piece[chosen] if rows is None else piece.index_select(0, rows[chosen])).to(torch.double, copy=True)
        yield part if first is None else part.sub_(first)


def _mean(piece: Tensor, first: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return the mean of these rows, less the first sample, `(features,)`."""
    number = len(piece) if rows is None else len(rows)
    return torch.stack([part.sum(dim=0) for part in _shifted(piece, first, rows)]).sum(dim=0) / number


def _centred_pieces(activations: Tensor) -> Iterator[Tensor]:
    for piece in _wide_pieces(activations):
        # The mean of equal numbers can have a rounding error; less its first sample, a constant unit is exactly 0.
        shifted = piece.double() - piece[0].double()
        yield shifted - shifted.mean(dim=0)
