"""Small networks as decoders: the weights after each epoch of AdamW are one candidate."""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.label_scores import Candidate, Scores
from infoplane.networks.optimisers import AdamW

EPOCHS = 40
_BATCH = 100

Normal = Callable[..., Tensor]  # from a shape to standard normal draws
Network = Callable[[list[Tensor], Tensor], Tensor]  # from weights and activations to scores


def candidates_by_epoch(
    begin: Callable[[Normal], list[Tensor]],
    network: Network,
    activations: Tensor,
    labels: Tensor,
    log_prior: Tensor,
    generator: torch.Generator,
) -> Iterator[Candidate]:
    """Yield a network after each epoch of its training.

    Args:
        begin: returns initial weights, given a source of normal draws.
        network: the network.
        activations: `(samples, features)`, standardised.
        labels: `(samples,)` integers from 0.
        log_prior: `(classes,)`.
        generator: source of weights and batches.
    """

    def trained(points: Tensor, of: Tensor) -> Iterator[Scores]:
        return _trained(begin, network, points, of, log_prior, generator)

    for epoch, scores in enumerate(trained(activations, labels)):

        def refit(points: Tensor, of: Tensor, epoch: int = epoch) -> Scores:
            return next(islice(trained(points, of), epoch, None))

        yield Candidate(scores, refit)


def _trained(
    begin: Callable[[Normal], list[Tensor]],
    network: Network,
    activations: Tensor,
    labels: Tensor,
    log_prior: Tensor,
    generator: torch.Generator,
) -> Iterator[Scores]:
    device = activations.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device).to(device)

    parameters = [part.requires_grad_() for part in begin(normal)]
    optimiser = AdamW(parameters, lr=1e-3, weight_decay=0.1)

    def scores_with(weights: list[Tensor]) -> Scores:
        return lambda points: network(weights, points)

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
