"""Propagate samples through Gaussian noise, and return log ratios of their densities around all samples."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from infoplane.estimators.features import FeaturePieces
from infoplane.estimators.pairwise import ROUNDING, TOLERANCE

BLOCK = 512  # samples propagated at a time
BLOCK_BYTES = 64 * 2**20  # size of one float64 matrix of such a block and all samples
LARGEST_GRAM = 20_000  # samples; with more, the two matrices in memory need more than 6.4 GB
JITTERS = (0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10)  # of the mean squared norm, tried in turn


def log_ratios(
    pieces: FeaturePieces, noise_variance: float, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    """Draw t_i = h_i + sqrt(noise_variance) z_i, and yield ln p(t_i|h_j) - ln p(t_i|h_i) for all pairs, in float64.

    That is -(d_ij + 2 s (g_ii - g_ij)) / (2 s^2) with s^2 the noise variance, d_ij = |h_i - h_j|^2 and
    g_ij = z_i . h_j. It depends only on G = H H^T, the centred Gram matrix. With fewer features than samples z itself
    is drawn. Otherwise that would cost more, and g_i ~ N(0, G) is drawn as L xi with G = L L^T. Each sample has its own
    draw: one draw shared by all samples is unbiased too, but its error is ten times as large.

    Args:
        pieces: activations `(samples, features)`; read once if there are at least as many features as samples, else
            once for each slice.
        noise_variance: positive, in squared activation units.
        generator: source of the noise.

    Yields:
        A slice of samples i and their log ratios, `(rows, samples)`, until all samples are done.

    Raises:
        ValueError: there are more than `LARGEST_GRAM` samples and at least as many features.
    """
    if pieces.features >= pieces.samples > LARGEST_GRAM:
        raise ValueError(
            f"activations must have at most {LARGEST_GRAM} samples, or fewer features than samples, for exact noise, "
            f"got {pieces.samples} samples of {pieces.features} features; take fewer samples"
        )
    pairs = _by_features if pieces.features < pieces.samples else _by_gram
    return pairs(pieces, noise_variance, generator)


def _by_features(
    pieces: FeaturePieces, noise_variance: float, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    norms = torch.zeros(pieces.samples, dtype=torch.double, device=pieces.device)
    for part in _centred(pieces):
        norms += part.square_().sum(dim=1)
    if _too_coarse(norms, noise_variance):
        yield from _by_differences(pieces, noise_variance, generator)
        return
    for rows in _blocks(pieces.samples):
        products, projections = _zeros(rows, pieces), _zeros(rows, pieces)
        for part in _centred(pieces):
            products.addmm_(part[rows], part.T)
            projections.addmm_(_normal(rows, part.shape[1], part, generator), part.T)
        yield rows, _log_ratios(rows, products, projections, norms, noise_variance)


def _by_gram(
    pieces: FeaturePieces, noise_variance: float, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    gram = centred_gram(pieces)
    norms = gram.diagonal().clone()
    if _too_coarse(norms, noise_variance):
        del gram
        yield from _by_differences(pieces, noise_variance, generator)
        return
    factor = gram_factor(gram, largest_jitter=TOLERANCE * noise_variance)
    for rows in _blocks(len(gram)):
        noise = _normal(rows, len(gram), gram, generator)
        yield rows, _log_ratios(rows, gram[rows].clone(), noise @ factor.T, norms, noise_variance)


def _log_ratios(rows: slice, products: Tensor, projections: Tensor, norms: Tensor, noise_variance: float) -> Tensor:
    """Return log ratios from h_i . h_j and z_i . h_j, both `(rows, samples)`; both are overwritten."""
    squared = products.mul_(-2).add_(norms[rows, None]).add_(norms)
    own = projections.diagonal(rows.start).clone()
    ratios = projections.sub_(own[:, None]).div_(math.sqrt(noise_variance)).sub_(squared, alpha=0.5 / noise_variance)
    ratios.diagonal(rows.start).zero_()  # a sample's ratio to itself is exactly 1
    return ratios


def _by_differences(
    pieces: FeaturePieces, noise_variance: float, generator: torch.Generator
) -> Iterator[tuple[slice, Tensor]]:
    """Yield log ratios from differences of rows: slow, but precise for tight clusters that are far apart."""
    for rows in _blocks(pieces.samples):
        squared, projections = _zeros(rows, pieces), _zeros(rows, pieces)
        for _, piece in pieces.chunks(value_bytes=8):
            part = piece.double()
            noise = _normal(rows, part.shape[1], part, generator)
            for row, (own, z) in enumerate(zip(part[rows], noise, strict=True)):
                differences = part - own
                squared[row] += differences.square().sum(dim=1)
                projections[row] += differences @ z
        yield rows, projections.div_(math.sqrt(noise_variance)).sub_(squared, alpha=0.5 / noise_variance)


def centred_gram(pieces: FeaturePieces) -> Tensor:
    """Return the products of all pairs of centred rows, `(samples, samples)` float64."""
    gram = _zeros(slice(0, pieces.samples), pieces)
    for part in _centred(pieces):
        for rows in _blocks(pieces.samples):  # the lower triangle is enough
            gram[rows, : rows.stop].addmm_(part[rows], part[: rows.stop].T)
    gram.tril_()
    gram += gram.tril(-1).T
    return gram


def _centred(pieces: FeaturePieces) -> Iterator[Tensor]:
    """Yield the features in float64, less their means, since a common offset would add rounding errors."""
    for _, piece in pieces.chunks(value_bytes=8):
        yield piece.double() - piece.mean(dim=0, dtype=torch.double)


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


def _normal(rows: slice, columns: int, like: Tensor, generator: torch.Generator) -> Tensor:
    size = (rows.stop - rows.start, columns)
    return torch.randn(size, generator=generator, dtype=torch.double, device=generator.device).to(like.device)


def _blocks(samples: int) -> Iterator[slice]:
    step = max(1, min(BLOCK, BLOCK_BYTES // (8 * samples)))
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))


def _zeros(rows: slice, pieces: FeaturePieces) -> Tensor:
    return torch.zeros((rows.stop - rows.start, pieces.samples), dtype=torch.double, device=pieces.device)
