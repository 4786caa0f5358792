"""Covariance spectrum of a layer: an upper bound of its I(X;T) under noise, and its participation ratio."""

from dataclasses import dataclass

import torch
from torch import Tensor

from infoplane.checks import check_positive
from infoplane.estimators.features import FeaturePieces, feature_pieces
from infoplane.records.short_repr import with_short_repr

COMPLETE = 256  # up to so many features the whole spectrum is computed
DIRECTIONS = 64  # of wider layers; the rest of the variance enters the bound as if it were spread evenly


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class CovarianceSpectrum:
    """Variances of a layer's outputs along its leading directions, and the variance outside them.

    Attributes:
        variances: `(directions,)` float64 on the CPU, in squared activation units, descending.
        rest: variance outside these directions.
        rest_directions: number of directions that it can be spread over; 0 if the spectrum is complete.
        samples: number of samples.
    """

    variances: Tensor
    rest: float
    rest_directions: int
    samples: int

    def gaussian_ceiling(self, noise_variance: float) -> float:
        """Return an upper bound, in nats, of I(X;T) for T = activations + N(0, noise_variance I).

        A Gaussian has the largest entropy of all distributions with its covariance S, so that

            I(X;T) <= 1/2 ln det(1 + S / noise_variance) = 1/2 sum_i ln(1 + l_i / noise_variance)

        with the eigenvalues l_i of S. The variances of the leading directions replace the largest eigenvalues, and the
        rest of the variance counts as if it were spread evenly, which raises the bound (Fischer's inequality, and the
        concavity of the logarithm). The bound holds for the mixture of these samples, with their own covariance.

        Args:
            noise_variance: positive, in squared activation units.

        Raises:
            ValueError: `noise_variance` is not positive and finite.

        Source: Cover & Thomas (2006), Elements of Information Theory, Theorem 8.6.5 (entropy) and Theorem 17.9.2
        (Hadamard's inequality, of which Fischer's is the form for blocks).
        """
        check_positive(noise_variance, name="noise_variance")
        bound = torch.log1p(self.variances / noise_variance).sum().item() / 2
        if self.rest_directions:
            evenly = torch.tensor(self.rest / self.rest_directions / noise_variance, dtype=torch.double)
            bound += self.rest_directions * torch.log1p(evenly).item() / 2
        return bound

    @property
    def participation_ratio(self) -> float:
        """Effective number of directions: the squared sum of the eigenvalues over the sum of their squares.

        1 if all variance lies in one direction, and the number of directions if it is spread evenly; 0 without any
        variance.

        Source: Gao et al. (2017), bioRxiv 214262, Eq. 4.
        """
        total = self.variances.sum().item() + self.rest
        spread = self.rest**2 / self.rest_directions if self.rest_directions else 0.0
        squares = self.variances.square().sum().item() + spread
        return total**2 / squares if squares > 0 else 0.0


def covariance_spectrum(activations: Tensor | FeaturePieces) -> CovarianceSpectrum:
    """Return the variances of layer outputs along their leading directions.

    With up to 256 features or 64 samples the spectrum is complete. Beyond that, 64 directions are found by a randomised
    range finder with a power iteration, in time that is linear in the number of features. Its draws are fixed.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces.

    Raises:
        ValueError: `activations` are outside the description above, or so large that their squares overflow.

    Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), Algorithm 4.4.
    """
    pieces = feature_pieces(activations)
    with torch.no_grad():
        return _spectrum(pieces)


def _spectrum(pieces: FeaturePieces) -> CovarianceSpectrum:
    samples, features = pieces.samples, pieces.features
    directions = features if features <= COMPLETE else min(DIRECTIONS, samples)
    means, total = _moments(pieces)
    if directions == features:
        found = torch.cat([piece.double() - means[columns] for columns, piece in pieces.chunks(value_bytes=8)], dim=1)
    else:
        draws = torch.Generator().manual_seed(0)
        basis = torch.randn(features, directions, generator=draws, dtype=torch.float32).to(pieces.device)
        basis = torch.linalg.qr(_backward(pieces, means, _forward(pieces, means, basis).float())).Q
        found = _forward(pieces, means, basis)
    products = found.T @ found / samples
    if not bool(products.isfinite().all()):
        raise ValueError("activations must have finite squares, got so large ones that these overflow: scale them down")
    variances = torch.linalg.eigvalsh(products).flip(0).clamp(min=0).cpu()
    remaining = max(0, min(features, samples - 1) - directions)
    # Rounding can leave a little less or more than nothing outside a complete set of directions.
    rest = max(0.0, total - variances.sum().item()) if remaining else 0.0
    return CovarianceSpectrum(variances=variances, rest=rest, rest_directions=remaining, samples=samples)


def _moments(pieces: FeaturePieces) -> tuple[Tensor, float]:
    """Return the mean of each feature, `(features,)` float64, and the total variance."""
    means = torch.empty(pieces.features, dtype=torch.double, device=pieces.device)
    total = 0.0
    for columns, piece in pieces.chunks(value_bytes=8):
        means[columns] = piece.mean(dim=0, dtype=torch.double)
        precise = piece if piece.dtype == torch.double else piece.float()
        squares = (precise - means[columns].to(precise.dtype)).square_()
        total += squares.mean(dim=0, dtype=torch.double).sum().item()
    return means, total


def _forward(pieces: FeaturePieces, means: Tensor, basis: Tensor) -> Tensor:
    """Return the centred activations times `basis`, `(samples, directions)` float64."""
    projected = torch.zeros(pieces.samples, basis.shape[1], dtype=torch.double, device=pieces.device)
    for columns, piece in pieces.chunks():
        centred = piece.float() - means[columns].float()
        projected += (centred @ basis[columns]).double()
    return projected - projected.mean(dim=0)


def _backward(pieces: FeaturePieces, means: Tensor, projected: Tensor) -> Tensor:
    """Return the transposed centred activations times `projected`, `(features, directions)` float32."""
    result = torch.empty(pieces.features, projected.shape[1], dtype=torch.float32, device=pieces.device)
    for columns, piece in pieces.chunks():
        result[columns] = (piece.float() - means[columns].float()).T @ projected
    return result
