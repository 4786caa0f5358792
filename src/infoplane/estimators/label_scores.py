"""Classifiers behind decoders: families of fits that give one score per class from activations."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.units import row_blocks

Scores = Callable[[Tensor], Tensor]
"""From standardised activations, `(samples, features)`, to the log of each class's evidence over its prior."""

_PENALTIES = (1.0, 0.1, 0.01, 0.001)  # on squared weights, relative to the mean loss, for standardised features
_ITERATIONS = 30
_FEW = 1024  # with at most this many rows, computing their span saves time
_HIDDEN_UNITS = 128
_EPOCHS = 40
_BATCH = 100


class Candidate(NamedTuple):
    """A classifier fitted on some of the examples, and a function that fits it again on all of them."""

    scores: Scores
    refit: Callable[[Tensor, Tensor], Scores]  # from standardised activations and labels


class Family(NamedTuple):
    """Classifiers in order of flexibility, the stiffest first. Each fit starts from the one before."""

    fit: Callable[[Tensor, Tensor, Tensor, torch.Generator], Iterator[Candidate]]
    """From standardised activations, labels 0 to K - 1, log prior `(K,)` and a generator."""
    steps: int
    patience: int  # after this many steps without progress on other examples, the rest is not tried

    @property
    def name(self) -> str:
        """Name of the kind of classifier, e.g. "softmax regression"."""
        return self.fit.__name__.replace("_", " ")


@dataclass(frozen=True)
class Linear:
    """Scores `activations @ weight.T + bias`."""

    weight: Tensor  # (classes, features)
    bias: Tensor  # (classes,)

    def __call__(self, activations: Tensor) -> Tensor:
        # Transposed, since the product is then twice as fast on a CPU.
        return (self.weight @ activations.T).T + self.bias


def shrunken_means(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield Gaussian classes with one diagonal covariance and means that are shrunk towards the common mean."""
    del generator
    refit = partial(_shrunken_means, number_of_classes=len(log_prior))
    yield Candidate(refit(activations, labels), refit)


def _shrunken_means(activations: Tensor, labels: Tensor, *, number_of_classes: int) -> Linear:
    """Fit Gaussian classes with shrunken means.

    In many dimensions the squared error of a class mean is known in advance: features / samples in units of the
    variance. Without shrinkage, this error would count as signal of every class.

    Source: James & Stein (1961), Proc. 4th Berkeley Symp. 1, 361 (positive part).
    """
    samples, features = activations.shape
    counts = torch.bincount(labels, minlength=number_of_classes).to(activations)
    members = F.one_hot(labels, number_of_classes).to(activations)
    means = (members.T @ activations) / counts.clamp(min=1)[:, None]
    frequencies = counts / samples
    total = torch.zeros_like(means[0])
    for rows in row_blocks(samples, features, activations.device):
        total += activations[rows].square().sum(dim=0) / samples
    between = (frequencies[:, None] * means.square()).sum(dim=0)
    freedom = samples / max(1, samples - int((counts > 0).sum()))
    # Without this limit, a unit that is constant within each class would decide alone, with probability 1.
    variance = ((total - between) * freedom).clamp(min=0.01)
    lengths = (means.square() / variance).sum(dim=1)
    noise = int((total > 0).sum()) * (1 / counts.clamp(min=1) - 1 / samples)
    shrinkage = (1 - noise / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp(min=0)
    weight = shrinkage[:, None] * means / variance
    return Linear(weight, -(shrinkage.square() * lengths) / 2)


def softmax_regression(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield multinomial logistic regressions, with a penalty on squared weights that falls step by step."""
    del generator
    space, classes = _Span(activations), len(log_prior)
    start = Linear(activations.new_zeros(classes, space.coordinates.shape[1]), activations.new_zeros(classes))
    for penalty in _PENALTIES:
        start = _penalised(space.coordinates, labels, log_prior=log_prior, penalty=penalty, start=start)
        scores = space.outward(start)
        yield Candidate(scores, partial(_refitted, log_prior=log_prior, penalty=penalty, start=scores))


def _refitted(activations: Tensor, labels: Tensor, *, log_prior: Tensor, penalty: float, start: Linear) -> Linear:
    space = _Span(activations)
    found = _penalised(space.coordinates, labels, log_prior=log_prior, penalty=penalty, start=space.inward(start))
    return space.outward(found)


class _Span:
    """The span of the rows of activations, if it has fewer dimensions than there are features.

    The weights of the smallest penalised loss lie in this span: any part outside increases the penalty and changes no
    score. For few examples of a wide layer the fit in coordinates of the span is much faster and gives the same
    weights, since the coordinates keep lengths.
    """

    def __init__(self, activations: Tensor) -> None:
        samples, features = activations.shape
        self._directions = None  # (features, samples), orthonormal columns
        self.coordinates = activations
        if samples < features and samples <= _FEW:
            self._directions, upper = torch.linalg.qr(activations.T)
            self.coordinates = upper.T.contiguous()

    def inward(self, scores: Linear) -> Linear:
        """Project weights of the features on the span, and return weights of the coordinates."""
        return scores if self._directions is None else Linear(scores.weight @ self._directions, scores.bias)

    def outward(self, scores: Linear) -> Linear:
        """Return weights of the coordinates as weights of the features."""
        return scores if self._directions is None else Linear(scores.weight @ self._directions.T, scores.bias)


def _penalised(activations: Tensor, labels: Tensor, *, log_prior: Tensor, penalty: float, start: Linear) -> Linear:
    """Minimise the mean cross-entropy plus the penalty, from a start near the minimum."""
    (samples, features), classes = activations.shape, len(log_prior)
    members = F.one_hot(labels, classes).to(activations)

    def pack(weight: Tensor, bias: Tensor) -> np.ndarray:
        packed: np.ndarray = torch.cat([weight, bias[:, None]], dim=1).double().flatten().cpu().numpy()
        return packed

    def unpack(parameters: np.ndarray) -> Linear:
        both = torch.from_numpy(parameters).to(activations).view(classes, features + 1)
        return Linear(both[:, :-1].contiguous(), both[:, -1])

    def penalised_loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scores = unpack(parameters)
        loss = penalty / 2 * scores.weight.double().square().sum()
        by_weight, by_bias = penalty * scores.weight, torch.zeros_like(scores.bias)
        for rows in row_blocks(samples, features, activations.device):
            block = activations[rows]
            log_probabilities = (scores(block) + log_prior).log_softmax(dim=1)
            loss -= (log_probabilities * members[rows]).sum().double() / samples
            residuals = (log_probabilities.exp() - members[rows]) / samples
            # activations.T @ residuals would take six times as long on a CPU.
            by_weight.addmm_(residuals.T, block)
            by_bias += residuals.sum(dim=0)
        return loss.item(), pack(by_weight, by_bias)

    solution = minimize(
        penalised_loss,
        pack(start.weight, start.bias),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "ftol": 1e-5, "gtol": 1e-5},
    )
    return unpack(solution.x)


def one_hidden_layer(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield a network with one hidden layer of rectified units, after each epoch of AdamW."""
    for epoch, scores in enumerate(_trained(activations, labels, log_prior, generator)):

        def refit(points: Tensor, of: Tensor, epoch: int = epoch) -> Scores:
            return next(islice(_trained(points, of, log_prior, generator), epoch, None))

        yield Candidate(scores, refit)


def _trained(activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator) -> Iterator[Scores]:
    device = activations.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device).to(device)

    features, classes = activations.shape[1], len(log_prior)
    inner = normal(features, _HIDDEN_UNITS) * math.sqrt(2 / features)
    outer = normal(_HIDDEN_UNITS, classes) * 0.1 / math.sqrt(_HIDDEN_UNITS)
    parameters = [
        part.requires_grad_()
        for part in (inner, torch.zeros(_HIDDEN_UNITS, device=device), outer, torch.zeros(classes, device=device))
    ]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)

    def scores_with(weights: list[Tensor]) -> Scores:
        def scores(points: Tensor) -> Tensor:
            return (points @ weights[0] + weights[1]).relu() @ weights[2] + weights[3]

        return scores

    scores = scores_with(parameters)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(labels), generator=generator, device=generator.device).to(device)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            with torch.enable_grad():
                loss = F.cross_entropy(scores(activations[batch]) + log_prior, labels[batch])
                gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
        yield scores_with([parameter.detach().clone() for parameter in parameters])


LINEAR = (
    Family(shrunken_means, steps=1, patience=1),
    Family(softmax_regression, steps=len(_PENALTIES), patience=1),
)
MLP = (*LINEAR, Family(one_hidden_layer, steps=_EPOCHS, patience=4))
