"""A network with one hidden layer of rectified units, after each epoch of AdamW."""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.label_scores import Candidate, Scores

EPOCHS = 40
_HIDDEN_UNITS = 128
_BATCH = 100


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
    for _ in range(EPOCHS):
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
