"""Families of classifiers: from activations to one score per class, the part of a decoder that learns."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

Scores = Callable[[Tensor], Tensor]
"""From standardised activations, `(samples, features)`, to the log of each class's evidence over its prior."""

_PENALTIES = (1.0, 0.1, 0.01, 0.001)  # of the squared weights, for the mean loss and standardised features
_ITERATIONS = 30
_HIDDEN_UNITS = 128
_EPOCHS = 40
_BATCH = 100


class Family(NamedTuple):
    """Classifiers ordered from the stiffest to the most flexible, each starting where the last one ended."""

    fit: Callable[[Tensor, Tensor, Tensor, torch.Generator], Iterator[Scores]]
    """From standardised activations, labels 0 to K - 1, log prior `(K,)` and a generator."""
    patience: int  # steps without progress on other examples after which the rest is not tried


@dataclass(frozen=True)
class Linear:
    """Scores `activations @ weight.T + bias`."""

    weight: Tensor  # (classes, features)
    bias: Tensor  # (classes,)

    def __call__(self, activations: Tensor) -> Tensor:
        # This way round the product of a tall and a narrow matrix is twice as fast on a CPU.
        return (self.weight @ activations.T).T + self.bias


def shrunken_means(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Scores]:
    """Gaussian classes of one diagonal covariance, whose means are shrunk towards the common mean.

    In many dimensions the error of a class mean has a length of its own, known in advance: features / samples in
    units of the variance. Without the shrinkage every class would claim that length as its signal.

    Source: James & Stein (1961), Proc. 4th Berkeley Symp. 1, 361 (positive part).
    """
    del generator
    samples, classes = len(labels), len(log_prior)
    counts = torch.bincount(labels, minlength=classes).to(activations)
    members = F.one_hot(labels, classes).to(activations)
    means = (members.T @ activations) / counts.clamp(min=1)[:, None]
    frequencies = counts / samples
    total, between = activations.square().mean(dim=0), (frequencies[:, None] * means.square()).sum(dim=0)
    freedom = samples / max(1, samples - int((counts > 0).sum()))
    # A unit that is constant within each of these classes would otherwise decide alone, and without any doubt.
    variance = ((total - between) * freedom).clamp(min=0.01)
    lengths = (means.square() / variance).sum(dim=1)
    noise = int((total > 0).sum()) * (1 / counts.clamp(min=1) - 1 / samples)
    shrinkage = (1 - noise / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp(min=0)
    weight = shrinkage[:, None] * means / variance
    yield Linear(weight, -(shrinkage.square() * lengths) / 2)


def softmax_regression(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Scores]:
    """Multinomial logistic regression with a penalty on squared weights that falls step by step."""
    del generator
    (samples, features), classes = activations.shape, len(log_prior)
    members = F.one_hot(labels, classes).to(activations)

    def unpack(parameters: np.ndarray) -> Linear:
        both = torch.from_numpy(parameters).to(activations).view(classes, features + 1)
        return Linear(both[:, :-1], both[:, -1])

    def penalised_loss(parameters: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        scores = unpack(parameters)
        log_probabilities = (scores(activations) + log_prior).log_softmax(dim=1)
        residuals = (log_probabilities.exp() - members) / samples
        # Not activations.T @ residuals, which takes six times as long on a CPU.
        by_weight = residuals.T @ activations + penalty * scores.weight
        gradient = torch.cat([by_weight, residuals.sum(dim=0)[:, None]], dim=1)
        loss = -(log_probabilities * members).double().sum() / samples
        loss += penalty / 2 * scores.weight.double().square().sum()
        return loss.item(), gradient.double().flatten().cpu().numpy()

    parameters = np.zeros((features + 1) * classes)
    for penalty in _PENALTIES:
        parameters = minimize(
            penalised_loss,
            parameters,
            args=(penalty,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "ftol": 1e-5, "gtol": 1e-5},
        ).x
        yield unpack(parameters)


def one_hidden_layer(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Scores]:
    """A network with one hidden layer of rectified units, after each epoch of AdamW."""
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


LINEAR = (Family(shrunken_means, patience=1), Family(softmax_regression, patience=1))
MLP = (*LINEAR, Family(one_hidden_layer, patience=4))
