"""Families of decoders beyond the linear one: products of units, nearest neighbours, a hidden layer."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.label_scores import LINEAR, MLP, Candidate, Family, Scores, softmax_regression
from infoplane.estimators.units import Origin, Standardisation, moments

DecoderName = Literal["linear", "mlp", "best"]

_DIRECTIONS = 32  # leading ones
_OVERSAMPLED = 8  # further directions while the leading ones are searched
_UNITS = 512  # a layer with more of them has products of its leading directions alone
_NEAR = (5, 15, 50)  # neighbours
_NEAR_DIRECTIONS = 16
_NEAR_STEP = 1024  # samples whose neighbours are searched together


def leading_directions(points: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Return orthonormal directions of about the largest variance, `(features, directions)`, the largest first.

    Args:
        points: `(samples, features)`, of mean 0.
        number: of directions; fewer where samples or features are fewer.
        generator: source of the start.

    Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), 217, Algorithm 4.4 (subspace iteration).
    """
    samples, features = points.shape
    number, more = (min(count, samples, features) for count in (number, number + _OVERSAMPLED))
    start = torch.randn(samples, more, generator=generator, device=generator.device).to(points)
    basis = torch.linalg.qr(points.T @ start).Q
    for _ in range(3):
        basis = torch.linalg.qr(points.T @ (points @ basis)).Q
    variances, within = torch.linalg.eigh((points @ basis).T @ (points @ basis))
    leading: Tensor = basis @ within[:, variances.argsort(descending=True)[:number]]
    return leading


def products(activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator) -> Iterator[Candidate]:
    """Yield softmax regressions on the norm and the 8 products of two units that depend most on the class.

    The units are those of the layer if there are at most 512, and its 32 leading directions. Products are ordered by
    how much their class means differ from their mean, in units of its standard error.
    """
    yield from _regressions(activations, labels, log_prior, generator, number=8, with_units=False)


def products_and_units(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield softmax regressions on the units and directions themselves, the norm and 64 products, as in `products`."""
    yield from _regressions(activations, labels, log_prior, generator, number=64, with_units=True)


def _regressions(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator, **chosen: Any
) -> Iterator[Candidate]:
    features = _product_features(activations, labels, len(log_prior), generator, **chosen)
    for candidate in softmax_regression(features(activations), labels, log_prior, generator):

        def refit(points: Tensor, of: Tensor, candidate: Candidate = candidate) -> Scores:
            return _after(features, candidate.refit(features(points), of))

        yield Candidate(_after(features, candidate.scores), refit)


def _after(features: Callable[[Tensor], Tensor], scores: Scores) -> Scores:
    return lambda points: scores(features(points))


def _product_features(
    activations: Tensor, labels: Tensor, classes: int, generator: torch.Generator, *, number: int, with_units: bool
) -> Callable[[Tensor], Tensor]:
    """Return the map from activations to standardised features, chosen by these examples."""
    directions = leading_directions(activations, _DIRECTIONS, generator)
    few = activations.shape[1] <= _UNITS

    def units(points: Tensor) -> Tensor:
        moved = points @ directions
        return torch.cat([moved, points], dim=1) if few else moved

    found = units(activations)
    first, second = _dependent_products(found, labels, classes, number)

    def features(points: Tensor) -> Tensor:
        own = units(points)
        norm = points.square().mean(dim=1, keepdim=True)
        parts = [own[:, first] * own[:, second], norm, norm.clamp(min=1e-12).log()]
        return torch.cat([own, *parts] if with_units else parts, dim=1)

    # Standardised once more, so that one penalty suits all features.
    raw = features(activations)
    origin, rows = Origin.of(raw), torch.arange(len(raw))
    standardisation = Standardisation.by(moments(raw, rows, origin), origin)
    return lambda points: standardisation(features(points), torch.arange(len(points)))


def _dependent_products(units: Tensor, labels: Tensor, classes: int, number: int) -> tuple[Tensor, Tensor]:
    """Return the places of the pairs of units whose products depend most on the class, twice `(products,)`."""
    samples = len(units)
    mean = units.T @ units / samples
    squares = units.square()
    variance = (squares.T @ squares / samples - mean.square()).clamp(min=1e-6)
    between = torch.zeros_like(mean)
    for label in range(classes):
        own = units[labels == label]
        if len(own):
            between += len(own) * (own.T @ own / len(own) - mean).square()
    statistic = (between / variance).triu()
    best = statistic.flatten().topk(min(number, len(mean) * (len(mean) + 1) // 2)).indices
    return best // len(mean), best % len(mean)


def nearest_neighbours(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield the class shares among the nearest of the fitted examples, in the 16 leading directions."""
    directions = leading_directions(activations, _NEAR_DIRECTIONS, generator)
    for number in _NEAR:
        refit = partial(_Near, directions=directions, log_prior=log_prior, number=number)
        yield Candidate(refit(activations, labels), refit)


class _Near:
    """Log of the share of each class among the nearest examples over its prior, with one example of the prior added."""

    def __init__(
        self, activations: Tensor, labels: Tensor, *, directions: Tensor, log_prior: Tensor, number: int
    ) -> None:
        self._directions, self._prior = directions, log_prior.exp()
        self._places = activations @ directions
        self._members = F.one_hot(labels, len(log_prior)).to(activations)
        self._number = min(number, len(labels))

    def __call__(self, activations: Tensor) -> Tensor:
        points = activations @ self._directions
        scores = points.new_empty(len(points), len(self._prior))
        for start in range(0, len(points), _NEAR_STEP):
            rows = slice(start, start + _NEAR_STEP)
            near = torch.cdist(points[rows], self._places).topk(self._number, dim=1, largest=False).indices
            shares = self._members[near].sum(dim=1) + self._prior
            scores[rows] = (shares / ((self._number + 1) * self._prior)).log()
        return scores


_STEPS = LINEAR[-1].steps
_NONLINEAR = (
    Family(products, steps=_STEPS, patience=1),
    Family(products_and_units, steps=_STEPS, patience=1),
    Family(nearest_neighbours, steps=len(_NEAR), patience=len(_NEAR)),
)
FAMILIES: dict[str, tuple[Family, ...]] = {
    "linear": LINEAR,
    "mlp": MLP,
    "best": (*LINEAR, *_NONLINEAR, MLP[-1]),
}
