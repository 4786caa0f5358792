"""Families of decoders beyond the linear one: products of units, nearest neighbours, small networks."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.convolution import MapShape, convolution
from infoplane.estimators.hidden_layer import one_hidden_layer
from infoplane.estimators.label_scores import Candidate, Family, OneByOne, OneFit, Scores
from infoplane.estimators.principal_axes import leading_directions
from infoplane.estimators.shrunken_means import ShrunkenMeans
from infoplane.estimators.softmax_regression import PENALTIES, SoftmaxRegression, softmax_regression
from infoplane.estimators.trained_scores import EPOCHS
from infoplane.estimators.units import Origin, Standardisation, moments

DecoderName = Literal["linear", "mlp", "best"]

_DIRECTIONS = 32  # leading ones
_UNITS = 512  # a layer with more of them has products of its leading directions alone
_NEAR = (5, 15, 50)  # neighbours
_NEAR_DIRECTIONS = 16
_NEAR_STEP = 1024  # samples whose neighbours are searched together


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
    directions, _ = leading_directions(activations, _DIRECTIONS, generator)
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
    directions, _ = leading_directions(activations, _NEAR_DIRECTIONS, generator)
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


def _one_by_one(fit: OneFit, *, steps: int, patience: int) -> Family:
    return Family(fit.__name__.replace("_", " "), partial(OneByOne, fit), steps, patience)


_LINEAR = (
    Family("shrunken means", ShrunkenMeans, steps=1, patience=1),
    Family("softmax regression", SoftmaxRegression, steps=len(PENALTIES), patience=1),
)
_NONLINEAR = (
    _one_by_one(products, steps=len(PENALTIES), patience=1),
    _one_by_one(products_and_units, steps=len(PENALTIES), patience=1),
    _one_by_one(nearest_neighbours, steps=len(_NEAR), patience=len(_NEAR)),
)
_HIDDEN_LAYER = _one_by_one(one_hidden_layer, steps=EPOCHS, patience=4)
_FAMILIES: dict[str, tuple[Family, ...]] = {
    "linear": _LINEAR,
    "mlp": (*_LINEAR, _HIDDEN_LAYER),
    "best": (*_LINEAR, *_NONLINEAR, _HIDDEN_LAYER),
}


def families_of(decoder: str, map_shape: MapShape | None = None) -> tuple[Family, ...]:
    """Return the families among which a decoder is chosen, the stiffest first.

    Args:
        decoder: "linear", "mlp" or "best".
        map_shape: channels, height and width, if the activations are feature maps.

    Raises:
        ValueError: there is no such decoder.
    """
    if decoder not in _FAMILIES:
        raise ValueError(f"decoder must be one of {sorted(_FAMILIES)}, got {decoder!r}")
    if decoder != "best" or map_shape is None:
        return _FAMILIES[decoder]
    of_maps = Family("convolution", partial(OneByOne, partial(convolution, shape=map_shape)), EPOCHS, patience=4)
    return (*_FAMILIES[decoder], of_maps)
