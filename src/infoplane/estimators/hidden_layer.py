"""A network with one hidden layer of rectified units, as a decoder."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from infoplane.estimators.label_scores import Candidate
from infoplane.estimators.trained_scores import Normal, candidates_by_epoch

_HIDDEN_UNITS = 128


def one_hidden_layer(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield a network with one hidden layer of rectified units, after each epoch of AdamW."""
    features, classes = activations.shape[1], len(log_prior)

    def begin(normal: Normal) -> list[Tensor]:
        inner = normal(features, _HIDDEN_UNITS) * math.sqrt(2 / features)
        outer = normal(_HIDDEN_UNITS, classes) * 0.1 / math.sqrt(_HIDDEN_UNITS)
        return [inner, activations.new_zeros(_HIDDEN_UNITS), outer, activations.new_zeros(classes)]

    def network(weights: list[Tensor], points: Tensor) -> Tensor:
        return (points @ weights[0] + weights[1]).relu() @ weights[2] + weights[3]

    return candidates_by_epoch(begin, network, activations, labels, log_prior, generator)
