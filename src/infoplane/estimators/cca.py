"""CCA estimator: information between two layers of any width, from canonical directions of held-out samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from infoplane.checks import check_activations, check_at_least
from infoplane.estimators.copula import CopulaInformation, gaussian_information, normal_scores
from infoplane.estimators.estimate import Estimate
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, PAIR_INFORMATION, POPULATION

SMALLEST_FOLD = 10
SAMPLES_PER_COMPONENT = 6  # least number of samples of a fold for each direction
INNER_PART = 3  # a third of the other samples chooses the shrinkage and the number of directions
# Candidates for shrinkage beyond the analytic intensity, as shares of the way to 1. The analytic intensity is optimal
# for the covariance, not for its inverse: with 300 units and 800 samples of a shared latent it gave 0.20 nats of 0.37,
# and nine tenths of the way to 1 gave 0.36.
TOWARDS_ONE = (0.0, 0.5, 0.9, 1.0)
RANK_TOLERANCE = 1e-10  # eigenvalues below this part of the largest are rounding errors


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class CCAInformation(Estimate):
    """I(X;Y), in nats, along a few canonical directions."""

    correlations: tuple[float, ...]  # of paired directions on held-out samples, averaged; 0 where a fold has fewer
    shrinkage: tuple[tuple[float, float], ...]  # of x and y in each fold: 0 none, 1 the identity
    components: tuple[int, ...]  # directions of each layer, in each fold


def cca_information(
    x: Tensor, y: Tensor, *, generator: torch.Generator, components: int = 10, folds: int = 5
) -> CCAInformation:
    """Estimate I(X;Y) of two layers of any number of units, from below, under a Gaussian copula.

    Each fold of the samples is held out in turn. With the other samples, units are replaced by normal scores, and the
    leading canonical directions are found under covariances shrunk towards a multiple of the identity. The held-out
    samples are scored by the empirical distributions of the others and projected on these directions. Their own
    canonical correlations r_k give -1/2 sum ln(1 - r_k^2), less its bias, as in `copula_information`. Folds are
    averaged by size.

    The directions do not depend on the held-out samples, so they can only lose information: if the copula is Gaussian,
    the expectation is at most I(X;Y), and values of unrelated layers scatter around 0. Information is lost outside the
    directions, and in directions that so few samples cannot find. The error does not cover this loss: it is that of the
    estimate around its own expectation. A third of the other samples chooses the shrinkage beyond the analytic
    intensity and the number of directions (`components`, or half of it, and so on). Samples must be independent:
    copies of one sample in several folds are not held out.

    Args:
        x: `(samples, features)`, finite, float16 to float64, on CPU or CUDA.
        y: `(samples, other features)`, likewise, of the same samples.
        generator: source of the folds.
        components: largest number of canonical directions of each layer; also limited by the number of units and by a
            sixth of a fold's samples.
        folds: at least 3, and at most a tenth of the samples.

    Raises:
        ValueError: an argument is outside the description above.

    Source: canonical correlation under shrunk covariances: Vinod (1976), J. Econometrics 4, 147; the analytic
    intensity: Ledoit & Wolf (2004), J. Multivariate Anal. 88, 365, Section 3.2; the rest: `copula_information`.
    """
    check_activations(x, name="x")
    check_activations(y, name="y")
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same samples, got {len(x)} in x and {len(y)} in y")
    check_at_least(components, 1, name="components")
    check_at_least(folds, 3, name="folds")
    smallest = len(x) // folds
    if smallest < SMALLEST_FOLD:
        raise ValueError(f"folds must be at most samples / {SMALLEST_FOLD} = {len(x) / SMALLEST_FOLD:g}, got {folds}")
    most = min(components, x.shape[1], y.shape[1], smallest // SAMPLES_PER_COMPONENT)

    layers = _Layers(*(layer.detach().cpu().double() for layer in (x, y)))
    parts = torch.randperm(len(x), generator=generator, device=generator.device).cpu().tensor_split(folds)
    results = [
        _held_out(layers.of(rows), layers.of(torch.cat(parts[:fold] + parts[fold + 1 :])), most)
        for fold, rows in enumerate(parts)
    ]
    weights = [len(rows) / len(x) for rows in parts]
    value = sum(w * result.estimate.value for w, result in zip(weights, results, strict=True))
    error = math.hypot(*(w * result.estimate.error for w, result in zip(weights, results, strict=True)))
    correlations = torch.stack([w * result.correlations for w, result in zip(weights, results, strict=True)]).sum(dim=0)
    return CCAInformation(
        quantity=PAIR_INFORMATION,
        kind=ESTIMATE,
        distribution=POPULATION,
        estimator="cca",
        value=value,
        error=error,
        correlations=tuple(correlations.tolist()),
        shrinkage=tuple(result.shrinkage for result in results),
        components=tuple(result.components for result in results),
    )


class _Layers(NamedTuple):
    """The same samples of both layers, `(samples, features)`."""

    x: Tensor
    y: Tensor

    def of(self, rows: Tensor | slice) -> _Layers:
        return _Layers(self.x[rows], self.y[rows])

    def leading(self, components: int) -> _Layers:
        return _Layers(self.x[:, :components], self.y[:, :components])

    def information(self) -> CopulaInformation:
        return gaussian_information(*((layer - layer.mean(dim=0)).numpy() for layer in self))


class _HeldOut(NamedTuple):
    estimate: CopulaInformation
    correlations: Tensor  # (most components,)
    shrinkage: tuple[float, float]
    components: int


def _held_out(held_out: _Layers, others: _Layers, most: int) -> _HeldOut:
    """Estimate the information of held-out samples along directions that only the other samples determine."""
    inner = len(others.x) // INNER_PART
    trial = _Canonical(others.of(slice(inner, None)), others.of(slice(inner)))
    projected = {part: trial.project(part, most) for part in TOWARDS_ONE}
    numbers = [most >> halvings for halvings in range(most.bit_length())]
    towards_one, components = max(
        ((part, number) for part in TOWARDS_ONE for number in numbers),
        key=lambda choice: projected[choice[0]].leading(choice[1]).information().value,
    )
    canonical = _Canonical(others, held_out)
    along = canonical.project(towards_one, components)
    correlations = torch.zeros(most, dtype=torch.double)
    correlations[: along.x.shape[1]] = _paired_correlations(*along)
    shrinkage_x, shrinkage_y = (spectrum.shrinkage(towards_one) for spectrum in canonical.spectra)
    return _HeldOut(along.information(), correlations, (shrinkage_x, shrinkage_y), components)


class _Canonical:
    """Canonical directions of samples, for any shrinkage of their covariances, and projections of other samples."""

    def __init__(self, samples: _Layers, others: _Layers) -> None:
        scores = [normal_scores(layer, layer) for layer in samples]
        self.spectra = [_Spectrum.of(layer) for layer in scores]
        principal_x, principal_y = (
            layer @ spectrum.vectors for layer, spectrum in zip(scores, self.spectra, strict=True)
        )
        self.cross = principal_x.T @ principal_y  # of principal components: shrinkage only scales it
        self.others = _Layers(
            *(
                normal_scores(layer, reference) @ spectrum.vectors
                for layer, reference, spectrum in zip(others, samples, self.spectra, strict=True)
            )
        )

    def project(self, towards_one: float, components: int) -> _Layers:
        """Project the other samples on the leading directions, `(samples, components)`."""
        scale_x, scale_y = (spectrum.variances(towards_one).rsqrt() for spectrum in self.spectra)
        left, _, right = torch.linalg.svd(scale_x[:, None] * self.cross * scale_y, full_matrices=False)
        return _Layers(
            self.others.x @ (scale_x[:, None] * left[:, :components]),
            self.others.y @ (scale_y[:, None] * right[:components].T),
        )


class _Spectrum(NamedTuple):
    """Spectrum of the covariance of scores: nonzero eigenvalues, `(rank,)`, their vectors, and the shrinkage."""

    values: Tensor
    vectors: Tensor  # (features, rank), orthonormal columns
    mean: float  # of the eigenvalues, those of units that never change left out
    intensity: float

    @classmethod
    def of(cls, scores: Tensor) -> _Spectrum:
        samples, features = scores.shape
        wide = features > samples  # then the matrix between samples is smaller and has the same eigenvalues
        values, vectors = torch.linalg.eigh((scores @ scores.T if wide else scores.T @ scores) / samples)
        kept = values > RANK_TOLERANCE * values[-1].clamp(min=RANK_TOLERANCE)
        values, vectors = values[kept], vectors[:, kept]
        if wide:
            vectors = scores.T @ vectors / (samples * values).sqrt()
        units = max(1, int((scores.abs().amax(dim=0) > RANK_TOLERANCE).sum()))
        mean, square = values.sum().item() / units, values.square().sum().item()
        distance = square - units * mean**2  # of the covariance from its target, squared
        noise = (scores.square().sum(dim=1).square().mean().item() - square) / samples  # the part due to sampling
        return cls(values, vectors, mean, min(1.0, noise / distance) if distance > 0 else 1.0)

    def shrinkage(self, towards_one: float) -> float:
        return self.intensity + towards_one * (1 - self.intensity)

    def variances(self, towards_one: float) -> Tensor:
        """Return the eigenvalues of the shrunk covariance, `(rank,)`."""
        shrinkage = self.shrinkage(towards_one)
        return (1 - shrinkage) * self.values + shrinkage * self.mean


def _paired_correlations(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    return F.cosine_similarity(x, y, dim=0, eps=1e-300)
