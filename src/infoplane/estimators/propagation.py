"""Propagate samples through Gaussian noise, and return log ratios of their densities around all samples."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from infoplane.estimators import row_products
from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.pairwise import NARROW, TOLERANCE
from infoplane.estimators.row_products import ROUNDING, RowProducts, SharedPieces, all_products, centred_rows, fits

BLOCK = 512  # samples propagated at a time
BLOCK_BYTES = 64 * 2**20  # size of one float64 matrix of such a block and all samples
LARGEST_GRAM = 20_000  # samples; with more, the two matrices in memory need more than 6.4 GB
JITTERS = (0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)  # of the mean squared norm, tried in turn
# Rounding of z_i . (h_j - h_i) in float32, in units of |h_j| / 2^24: measured for 300 to 65,536 features, dense, sparse
# and far from the origin: root mean square 5 to 10, mean below 1.
PROJECTION_ROUNDING = 32.0

Blocks = Iterator[tuple[slice, list[Tensor]]]


def log_ratios(
    pieces: FeaturePieces, noise_variances: Sequence[float], generator: torch.Generator, order: Tensor
) -> Blocks:
    """Draw t_i = h_i + s z_i, and yield ln p(t_i|h_j) - ln p(t_i|h_i) for all pairs at each noise variance s^2.

    That is -(d_ij + 2 s (g_ii - g_ij)) / (2 s^2) with d_ij = |h_i - h_j|^2 and g_ij = z_i . h_j. It depends only on
    G = H H^T, the centred Gram matrix. One draw of z serves all noise variances. Each sample has its own draw: one
    draw shared by all samples is unbiased too, but its error is ten times as large.

    For more than `NARROW` features and up to 11,000 samples, whose products fit, products are float32 where rounding
    changes the log of a sample's sum by at most `TOLERANCE` on average over a block, else float64. All else is computed
    in float64: with fewer features than samples from z itself, otherwise from g_i ~ N(0, G), drawn as L xi with
    G = L L^T.

    Args:
        pieces: activations `(samples, features)`; read twice where the products fit; else once if there are at least as
            many features as samples, or once for each slice.
        noise_variances: positive, in squared activation units.
        generator: source of the noise.
        order: `(samples,)` a permutation of the samples.

    Yields:
        A slice into the order, and at each noise variance the log ratios of these samples i to all samples j in this
        order, `(rows, samples)`, until all samples are done.

    Raises:
        ValueError: there are more than `LARGEST_GRAM` samples and at least as many features.
    """
    order = order.to(pieces.device)
    if pieces.features > NARROW and fits(pieces.samples):
        products = pieces.row_products(order) if isinstance(pieces, SharedPieces) else all_products(pieces, order)
        return _by_products(pieces, products, noise_variances, generator)
    if pieces.features >= pieces.samples > LARGEST_GRAM:
        raise ValueError(
            f"activations must have at most {LARGEST_GRAM} samples, or fewer features than samples, for exact noise, "
            f"got {pieces.samples} samples of {pieces.features} features; take fewer samples"
        )
    pairs = _by_features if pieces.features < pieces.samples else _by_gram
    return pairs(pieces, noise_variances, generator, order)


def _by_products(
    pieces: FeaturePieces, products: RowProducts, noise_variances: Sequence[float], generator: torch.Generator
) -> Blocks:
    norms, order, least = products.norms, products.order, min(noise_variances)
    if _too_coarse(norms, least):
        yield from _by_differences(pieces, noise_variances, generator, order)
        return
    largest = norms.max().item()
    errors = [
        2.0**-24 * (ROUNDING * largest / one + PROJECTION_ROUNDING * math.sqrt(largest / one))
        for one in noise_variances
    ]
    everyone, drawn = slice(0, pieces.samples), generator.get_state()
    for group in _groups_of_blocks(products.blocks, pieces.samples):
        start, stop = products.blocks[group[0]].start, products.blocks[group[-1]].stop
        projections = torch.zeros((stop - start, pieces.samples), device=pieces.device)
        generator.set_state(drawn)  # the noise of a sample does not depend on the order
        for _, piece in pieces.chunks():
            part = centred_rows(piece, order)
            noise = _normal(everyone, part.shape[1], part.dtype, part.device, generator)
            projections.addmm_(noise[order[start:stop]], part.T)
        for block in group:
            rows = products.blocks[block]
            squared = products.rows(block).mul_(-2).add_(norms[rows, None].float()).add_(norms.float())
            along = projections[rows.start - start : rows.stop - start]
            ratios = _log_ratios(rows, squared, along, noise_variances)
            if not all(map(_harmless, ratios, errors)):
                generator.set_state(drawn)
                ratios = _precisely(pieces, order, rows, noise_variances, generator)
            yield rows, ratios


def _groups_of_blocks(blocks: Sequence[slice], samples: int) -> Iterator[list[int]]:
    """Split blocks into groups whose rows of float32 fit `STORAGE_BYTES`."""
    group: list[int] = []
    for number, block in enumerate(blocks):
        if group and 4 * samples * (block.stop - blocks[group[0]].start) > row_products.STORAGE_BYTES:
            yield group
            group = []
        group.append(number)
    yield group


def _precisely(
    pieces: FeaturePieces, order: Tensor, rows: slice, noise_variances: Sequence[float], generator: torch.Generator
) -> list[Tensor]:
    """Return in float64 what `_by_products` returns for a block, with the same noise."""
    products, projections = _zeros(rows, pieces), _zeros(rows, pieces)
    norms = torch.zeros(pieces.samples, dtype=torch.double, device=pieces.device)
    for _, piece in pieces.chunks():
        part = piece.index_select(0, order).double()
        part -= part.mean(dim=0)
        noise = _normal(slice(0, pieces.samples), part.shape[1], torch.float, part.device, generator)
        products.addmm_(part[rows], part.T)
        projections.addmm_(noise[order[rows]].double(), part.T)
        norms += part.square().sum(dim=1)
    return _log_ratios(rows, _squared(rows, products, norms), projections, noise_variances)


def _harmless(ratios: Tensor, error: float) -> bool:
    """Return whether errors of log ratios up to `error` change the logs of sums by at most `TOLERANCE` on average.

    As in `pairwise`: with S the sum of a row at its largest, without its own 1, log(1 + S) changes by at most
    min(error S / (1 + S), log(1 + S)). For NaN the answer is no.
    """
    if error <= TOLERANCE:
        return True
    sums = (ratios.exp().sum(dim=1).double() - 1).clamp_(min=0) * math.exp(min(error, 700.0))
    moved = torch.minimum(error * sums / (1 + sums), sums.log1p())
    return bool(moved.mean() <= TOLERANCE)


def _by_features(
    pieces: FeaturePieces, noise_variances: Sequence[float], generator: torch.Generator, order: Tensor
) -> Blocks:
    norms = torch.zeros(pieces.samples, dtype=torch.double, device=pieces.device)
    for part in _centred(pieces, order):
        norms += part.square_().sum(dim=1)
    if _too_coarse(norms, min(noise_variances)):
        yield from _by_differences(pieces, noise_variances, generator, order)
        return
    for rows in _blocks(pieces.samples):
        products, projections = _zeros(rows, pieces), _zeros(rows, pieces)
        for part in _centred(pieces, order):
            products.addmm_(part[rows], part.T)
            projections.addmm_(_normal(rows, part.shape[1], part.dtype, part.device, generator), part.T)
        yield rows, _log_ratios(rows, _squared(rows, products, norms), projections, noise_variances)


def _by_gram(
    pieces: FeaturePieces, noise_variances: Sequence[float], generator: torch.Generator, order: Tensor
) -> Blocks:
    gram = centred_gram(pieces, order)
    norms, least = gram.diagonal().clone(), min(noise_variances)
    if _too_coarse(norms, least):
        del gram
        yield from _by_differences(pieces, noise_variances, generator, order)
        return
    factor = gram_factor(gram, largest_jitter=TOLERANCE * least)
    for rows in _blocks(len(gram)):
        noise = _normal(rows, len(gram), gram.dtype, gram.device, generator)
        squared = _squared(rows, gram[rows].clone(), norms)
        yield rows, _log_ratios(rows, squared, noise @ factor.T, noise_variances)


def _squared(rows: slice, products: Tensor, norms: Tensor) -> Tensor:
    """Return squared distances from h_i . h_j, `(rows, samples)`, which are overwritten."""
    return products.mul_(-2).add_(norms[rows, None]).add_(norms)


def _log_ratios(rows: slice, squared: Tensor, projections: Tensor, noise_variances: Sequence[float]) -> list[Tensor]:
    """Return log ratios from squared distances and z_i . h_j, both `(rows, samples)`; the latter are overwritten."""
    along = projections.sub_(projections.diagonal(rows.start).clone()[:, None])
    ratios = [along.div(math.sqrt(one)).sub_(squared, alpha=0.5 / one) for one in noise_variances]
    for one in ratios:
        one.diagonal(rows.start).zero_()  # a sample's ratio to itself is exactly 1
    return ratios


def _by_differences(
    pieces: FeaturePieces, noise_variances: Sequence[float], generator: torch.Generator, order: Tensor
) -> Blocks:
    """Yield log ratios from differences of rows: slow, but precise for tight clusters that are far apart."""
    for rows in _blocks(pieces.samples):
        squared, projections = _zeros(rows, pieces), _zeros(rows, pieces)
        for _, piece in pieces.chunks(value_bytes=8):
            part = piece.index_select(0, order).double()
            noise = _normal(rows, part.shape[1], part.dtype, part.device, generator)
            for row, (own, z) in enumerate(zip(part[rows], noise, strict=True)):
                differences = part - own
                squared[row] += differences.square().sum(dim=1)
                projections[row] += differences @ z
        yield rows, [projections.div(math.sqrt(one)).sub_(squared, alpha=0.5 / one) for one in noise_variances]


def centred_gram(pieces: FeaturePieces, order: Tensor | None = None) -> Tensor:
    """Return the products of all pairs of centred rows, `(samples, samples)` float64, in this order of the samples."""
    gram = _zeros(slice(0, pieces.samples), pieces)
    for part in _centred(pieces, order):
        for rows in _blocks(pieces.samples):  # the lower triangle is enough
            gram[rows, : rows.stop].addmm_(part[rows], part[: rows.stop].T)
    gram.tril_()
    gram += gram.tril(-1).T
    return gram


def _centred(pieces: FeaturePieces, order: Tensor | None) -> Iterator[Tensor]:
    """Yield the features in float64, less their means, since a common offset would add rounding errors."""
    for _, piece in pieces.chunks(value_bytes=8):
        ordered = piece if order is None else piece.index_select(0, order)
        yield ordered.double() - ordered.mean(dim=0, dtype=torch.double)


def gram_factor(gram: Tensor, *, largest_jitter: float) -> Tensor:
    """Return L with L L^T = `gram` up to rounding, for a positive semidefinite matrix that may be rank-deficient.

    Jitter on the diagonal adds independent noise to every sample, which is harmless only if its variance is far below
    that of the channel (`largest_jitter`). If that jitter is not enough, eigenvalues are used, which is slow.
    """
    mean = gram.diagonal().mean().item()
    factor: Tensor
    for jitter in JITTERS:
        if jitter * mean <= largest_jitter:
            attempt = gram.clone()
            attempt.diagonal().add_(jitter * mean)
            factor, failed = torch.linalg.cholesky_ex(attempt)
            if not failed.item():
                return factor
    values, vectors = torch.linalg.eigh(gram)
    factor = vectors * values.clamp(min=0).sqrt()
    return factor


def _too_coarse(norms: Tensor, noise_variance: float) -> bool:
    """Return whether rounding of products could change log ratios by more than `TOLERANCE`; true for NaN."""
    error = ROUNDING * 2.0**-53 * norms.max().item() / noise_variance
    return not error <= TOLERANCE


def _normal(rows: slice, columns: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Tensor:
    size = (rows.stop - rows.start, columns)
    return torch.randn(size, generator=generator, dtype=dtype, device=generator.device).to(device)


def _blocks(samples: int) -> Iterator[slice]:
    step = max(1, min(BLOCK, BLOCK_BYTES // (8 * samples)))
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))


def _zeros(rows: slice, pieces: FeaturePieces) -> Tensor:
    return torch.zeros((rows.stop - rows.start, pieces.samples), dtype=torch.double, device=pieces.device)
